package verify

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestLookThatHangs has a look at the file that never ends: who needs a key of the set
// has it, after a wait that is bounded and obeys the context, until the grace is over.
func TestLookThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &key{id: "a", hasID: true}
		f := &fileKeySet{log: orDefault(nil)}
		f.state.Store(&fileState{keys: keys{list: []*key{k}}, text: []byte("{}"), looked: time.Now()})
		ask := func(ctx context.Context, id string, want *key, wait time.Duration) {
			t.Helper()
			begun := time.Now()
			got, err := f.key(ctx, id, true)
			if got != want || (err == nil) != (want != nil) {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
			if waited := time.Since(begun); waited != wait {
				t.Errorf("waited %v, want %v", waited, wait)
			}
		}
		background := context.Background()
		ask(background, "a", k, 0)
		time.Sleep(fileInterval)
		f.flight = &fileFlight{begun: time.Now(), done: make(chan struct{})}
		ctx, cancel := context.WithTimeout(background, 300*time.Millisecond)
		defer cancel()
		ask(ctx, "a", k, 300*time.Millisecond)
		ask(background, "a", k, fileWait-300*time.Millisecond)
		ask(background, "a", k, 0) // it has hung for long: nobody waits any more
		ask(background, "b", nil, 0)
		time.Sleep(fileGrace)
		if _, err := f.key(background, "a", true); err == nil || err == errNoKey {
			t.Errorf("%v; want that it hangs", err)
		}
	})
}
