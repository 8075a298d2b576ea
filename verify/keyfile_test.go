package verify

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaitingForAFileObeysTheContext has somebody look at the file who never comes back.
func TestWaitingForAFileObeysTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &key{id: "a", hasID: true}
		f := &fileKeySet{slot: make(chan struct{}, 1)}
		f.slot <- struct{}{}
		f.state.Store(&fileState{keys: keys{k}, looked: time.Now(), good: time.Now()})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if got, err := f.key(ctx, "a", true); got != k || err != nil {
			t.Errorf("%v, %v: it waits although the keys are fresh", got, err)
		}
		time.Sleep(fileInterval)
		begun := time.Now()
		if got, err := f.key(ctx, "a", true); got != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v; want the context's error", got, err)
		}
		if waited := time.Since(begun); waited != 4*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}
