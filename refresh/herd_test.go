package refresh_test

import (
	"context"
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

// How many there are. CI has ten thousand, without the race detector, which takes a minute for
// them.
var herd = flag.Int("herd", 2000, "the number of refreshers in TestHerd")

// TestHerd has many refreshers begin in one moment, with tokens that end in one moment,
// through three renewals, an outage that is longer than a life, and a machine that is suspended.
// How many of them ask in the same second is counted, and what they hold is measured.
func TestHerd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const outage = 3*time.Hour + 70*time.Minute // when it is over
	refreshers := *herd
	synctest.Test(t, func(t *testing.T) {
		asked := make(map[int]int) // by second since the beginning
		begun := time.Now()
		var lock sync.Mutex
		var failing atomic.Bool
		one := new(source)
		one.set(func(context.Context, ingressauth.Token) (ingressauth.Token, error) {
			lock.Lock()
			defer lock.Unlock()
			asked[int(time.Since(begun)/time.Second)]++
			if failing.Load() {
				return ingressauth.Token{}, context.DeadlineExceeded
			}
			return claims{"exp": time.Now().Add(time.Hour).Unix(), "jti": len(asked)}.token(t), nil
		})
		// most returns the largest number of requests in a second, and all of them.
		most := func(from, to time.Duration) (peak, sum int) {
			for second := int(from / time.Second); second < int(to/time.Second); second++ {
				peak, sum = max(peak, asked[second]), sum+asked[second]
			}
			return peak, sum
		}
		heap := func() uint64 {
			one.mu.Lock()
			one.calls, one.refused = nil, nil
			one.mu.Unlock()
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}

		before, goroutines := heap(), runtime.NumGoroutine()
		all := make([]*refresh.Refresher, refreshers)
		for i := range all {
			r, err := refresh.New(refresh.Config{Source: one})
			if err != nil {
				t.Fatal(err)
			}
			all[i] = r
		}
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > goroutines+5 {
			t.Errorf("%d goroutines, %d before", n, goroutines)
		}
		made := heap()
		t.Logf("%d bytes for each refresher", (made-before)/uint64(refreshers))

		at := func(d time.Duration) { time.Sleep(time.Until(begun.Add(d))); synctest.Wait() }
		// The first renewals are in the twelve minutes from the 36th on: 14 a second.
		at(3 * time.Hour)
		for _, tt := range []struct{ from, to time.Duration }{
			{36 * time.Minute, 48 * time.Minute}, {72 * time.Minute, 96 * time.Minute}, {2 * time.Hour, 3 * time.Hour},
		} {
			peak, sum := most(tt.from, tt.to)
			mean := float64(sum) / (tt.to - tt.from).Seconds()
			t.Logf("%v to %v: %.1f requests a second, %d at most", tt.from, tt.to, mean, peak)
			if sum < refreshers/2 || float64(peak) > 5*mean+10 {
				t.Errorf("%v to %v: %d requests, %d in one second", tt.from, tt.to, sum, peak)
			}
		}
		if peak, sum := most(time.Second, 36*time.Minute); sum > 0 {
			t.Errorf("%d requests before anything is due, %d in a second", sum, peak)
		}
		renewed := heap() // each knows the token before, too
		t.Logf("%d bytes for each after three hours", (renewed-before)/uint64(refreshers))

		// The source fails for seventy minutes. At its end no second sees more than a fiftieth of all.
		failing.Store(true)
		at(outage)
		failing.Store(false)
		at(6 * time.Hour)
		down, sum := most(3*time.Hour, outage)
		up, _ := most(outage, 6*time.Hour)
		t.Logf("while the source is down: %.1f requests a second, %d at most; afterwards %d at most", float64(sum)/(outage-3*time.Hour).Seconds(), down, up)
		if down > refreshers/20 || up > refreshers/20 {
			t.Errorf("%d and %d requests in one second", down, up)
		}
		for _, r := range all {
			if _, err := r.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		now := heap()
		_, sum = most(0, 6*time.Hour)
		t.Logf("%d bytes for each after %d requests", (now-before)/uint64(refreshers), sum)
		if now > renewed+renewed/10 {
			t.Errorf("%d bytes after an outage, %d before", now, renewed)
		}
		for _, r := range all {
			r.Close()
		}
	})
}
