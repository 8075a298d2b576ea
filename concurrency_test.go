package ingressauth_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestEverythingAtOnce is for the race detector, and for what must hold under it:
// what is found is a whole token that somebody put there, and never an older one
// than this goroutine has seen.
func TestEverythingAtOnce(t *testing.T) {
	w := newWorld(t)
	path := w.fileVariable()
	w.rename(path, "file-0000")
	r := w.resolver(false)
	wantToken(t, r, "file-0000")
	var all sync.WaitGroup
	stop := make(chan struct{})
	again := func(do func(i int)) {
		all.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-stop:
					return
				default:
					do(i)
				}
			}
		})
	}
	again(func(i int) {
		w.rename(path, fmt.Sprintf("file-%04d", i))
		time.Sleep(2 * time.Millisecond)
	})
	again(func(i int) {
		text := fmt.Sprintf("variable-%04d", i)
		if i%3 == 0 {
			text = ""
		}
		if err := r.Update(text); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
	})
	for range 4 {
		newest := map[string]string{}
		again(func(int) {
			token, err := r.Token(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			from, _, _ := strings.Cut(token.Reveal(), "-")
			if token.Reveal() < newest[from] {
				t.Errorf("found %s after %s", token.Reveal(), newest[from])
			}
			newest[from] = token.Reveal()
		})
	}
	again(func(i int) {
		token, err := r.Token(t.Context())
		if err == nil && i%16 == 0 {
			if next, err := r.Renew(t.Context(), token); err == nil && next.Reveal() == token.Reveal() {
				t.Error("Renew returned the refused token")
			}
		}
		r.Explain(t.Context())
		r.Header(t.Context())
	})
	time.Sleep(500 * time.Millisecond)
	close(stop)
	all.Wait()
	if err := r.Update(""); err != nil {
		t.Error(err)
	}
}
