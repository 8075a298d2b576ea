package verify_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth/internal/inprocess"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// TestRemoteFreshness has headers say for how long keys are fresh.
func TestRemoteFreshness(t *testing.T) {
	a := newSigner("a")
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of the bubble
	at := func(d time.Duration) string { return start.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		header http.Header
		fresh  time.Duration
	}{
		{http.Header{}, 5 * time.Minute},
		{http.Header{"Cache-Control": {"public, max-age=1200"}}, 20 * time.Minute},
		{http.Header{"Cache-Control": {"public", "MAX-AGE=1200"}}, 20 * time.Minute},
		{http.Header{"Cache-Control": {`max-age="1200"`}}, 20 * time.Minute},
		{http.Header{"Cache-Control": {"max-age=1200"}, "Age": {"600"}}, 10 * time.Minute},
		{http.Header{"Cache-Control": {"max-age=1200"}, "Age": {"6000"}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=1200"}, "Expires": {at(time.Hour)}}, 20 * time.Minute},
		{http.Header{"Cache-Control": {"s-maxage=1200"}}, 5 * time.Minute},
		{http.Header{"Cache-Control": {"no-cache, max-age=1200"}}, time.Minute},
		{http.Header{"Cache-Control": {"no-store"}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=1200, no-cache"}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=1200", "no-store"}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=1200, max-age=600"}}, 10 * time.Minute},
		{http.Header{"Cache-Control": {"max-age=1200, max-age=x"}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=x"}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=-1"}}, time.Minute},
		{http.Header{"Cache-Control": {"max-age=99999999999999999999"}}, time.Hour},
		{http.Header{"Expires": {at(20 * time.Minute)}}, 20 * time.Minute},
		{http.Header{"Expires": {at(20 * time.Minute)}, "Date": {at(10 * time.Minute)}}, 10 * time.Minute},
		{http.Header{"Expires": {"0"}}, time.Minute},
		{http.Header{"Expires": {at(-time.Hour)}}, time.Minute},
		{http.Header{"Expires": {"Mon, 01 Jan 0001 00:00:00 GMT"}, "Age": {"1"}}, time.Minute},
	} {
		t.Run(fmt.Sprint(tt.header), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := new(verifytest.KeyServer)
				server.Publish(a)
				w := newRemoteWorldOf(t, verify.RemoteConfig{Transport: inprocess.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for name, values := range tt.header {
						w.Header()[name] = values
					}
					server.ServeHTTP(w, r)
				})}}, server)
				time.Sleep(tt.fresh * 3 / 4)
				w.wantFetches(t, 1)
				time.Sleep(tt.fresh / 8)
				w.wantFetches(t, 2)
				w.events.want(t, "a key set of 1 keys was fetched", "the key set of 1 keys is what it was") // by ETag
				w.wantTook(t, a.Token(plain()), "", 0)
			})
		})
	}
}

// TestRemoteConditional has a server that likes no conditional requests, and one that
// says only at first for how long its keys are fresh.
func TestRemoteConditional(t *testing.T) {
	a := newSigner("a")
	serve := func(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int)) (*verify.Verifier, func() (n, conditional int)) {
		var n, conditional atomic.Int32
		_, v := newRemoteVerifier(t, verify.RemoteConfig{URL: "https://issuer.example", OnEvent: new(keyEvents).tell, Transport: inprocess.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				conditional.Add(1)
			}
			answer(w, r, int(n.Add(1)))
		})}})
		return v, func() (int, int) {
			synctest.Wait()
			return int(n.Load()), int(conditional.Load())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		v, count := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("ETag", `"x"`)
			w.Write(jwks(a.JWK()))
		})
		time.Sleep(3 * time.Hour)
		wantRefused(t, v, a.Token(plain()), "")
		if n, conditional := count(); conditional == 0 || conditional*2 < n-1 || n > 2*3*60/4+2 {
			t.Errorf("%d requests, %d of them conditional", n, conditional)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		v, count := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("ETag", `"`+strings.Repeat("x", 1000)+`"`)
			w.Write(jwks(a.JWK()))
		})
		time.Sleep(time.Hour)
		wantRefused(t, v, a.Token(plain()), "")
		if n, conditional := count(); n < 10 || conditional > 0 {
			t.Errorf("%d requests, %d of them with a long ETag", n, conditional)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		v, count := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("ETag", `"x"`)
			if n > 1 {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Write(jwks(a.JWK()))
		})
		time.Sleep(24 * time.Hour)
		wantRefused(t, v, a.Token(plain()), "")
		if n, _ := count(); n > 33 {
			t.Errorf("%d requests a day", n)
		}
	})
}

// TestRemoteAnswers has real servers answer in ways that are no key set.
func TestRemoteAnswers(t *testing.T) {
	a := newSigner("a")
	good := jwks(a.JWK())
	write := func(b ...[]byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for _, b := range b {
				w.Write(b)
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/good", write(good))
	mux.Handle("/1", http.RedirectHandler("/good", http.StatusFound))
	mux.Handle("/2", http.RedirectHandler("/1", http.StatusMovedPermanently))
	mux.Handle("/3", http.RedirectHandler("/2", http.StatusTemporaryRedirect))
	mux.Handle("/4", http.RedirectHandler("/3", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler("http://192.0.2.1/SECRET", http.StatusFound))
	mux.HandleFunc("/nonsense", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://["+strings.Repeat("x", 20<<10)+"SECRET")
		w.WriteHeader(http.StatusFound)
	})
	mux.Handle("/file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	mux.HandleFunc("/html", write([]byte("<html>SECRET</html>")))
	mux.HandleFunc("/long", write(good, []byte(strings.Repeat(" ", 1<<20))))
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write(make([]byte, 1<<20))
		}
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 100<<10))
		w.Write(good)
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(good)+1))
		w.Write(good)
	})
	mux.HandleFunc("/unasked", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotModified) })
	mux.HandleFunc("/private", write(jwks(a.JWK(claims{"d": "AA"}))))
	var many []claims
	for n := range 257 {
		many = append(many, a.JWK(claims{"kid": fmt.Sprint(n)}))
	}
	mux.HandleFunc("/many", write(jwks(many...)))
	plainServer, tlsServer := httptest.NewServer(mux), httptest.NewUnstartedServer(mux)
	defer plainServer.Close()
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0) // of who does not know its certificate
	tlsServer.StartTLS()
	defer tlsServer.Close()
	mux.Handle("/down", http.RedirectHandler(plainServer.URL+"/good", http.StatusFound))
	mux.Handle("/up", http.RedirectHandler(tlsServer.URL+"/good", http.StatusFound))

	known := tlsServer.Client().Transport
	for _, tt := range []struct {
		name, url string
		transport http.RoundTripper
		says      string // "": it is good
	}{
		{"good", plainServer.URL + "/good", nil, ""},
		{"by TLS", tlsServer.URL + "/good", known, ""},
		{"by the name of this machine", strings.Replace(plainServer.URL, "127.0.0.1", "localhost", 1) + "/good", nil, ""},
		{"with a password", strings.Replace(plainServer.URL, "://", "://user:SECRET@", 1) + "/good", nil, ""},
		{"redirected three times", plainServer.URL + "/3", nil, ""},
		{"redirected four times", plainServer.URL + "/4", nil, "more than 3 redirects"},
		{"redirected to TLS", plainServer.URL + "/up", known, ""},
		{"redirected from TLS", tlsServer.URL + "/down", known, "not https"},
		{"redirected away", plainServer.URL + "/away", nil, "not https"},
		{"redirected to nonsense", plainServer.URL + "/nonsense", nil, "Location"},
		{"redirected to a file", plainServer.URL + "/file", nil, "not https"},
		{"an unknown certificate", tlsServer.URL + "/good", nil, "certificate"},
		{"another host's certificate", strings.Replace(tlsServer.URL, "127.0.0.1", "localhost", 1) + "/good", known, "for other hosts"},
		{"HTML", plainServer.URL + "/html", nil, "not strict JSON"},
		{"too long", plainServer.URL + "/long", nil, "longer than 1048576 bytes"},
		{"without end", plainServer.URL + "/endless", nil, "longer than 1048576 bytes"},
		{"a long header", plainServer.URL + "/header", nil, "header"},
		{"cut short", plainServer.URL + "/cut", nil, "unexpected EOF"},
		{"not modified, though nobody asked that", plainServer.URL + "/unasked", nil, "status 304"},
		{"not found", plainServer.URL + "/nothing", nil, "status 404"},
		{"a private key", plainServer.URL + "/private", nil, "it is private"},
		{"too many keys", plainServer.URL + "/many", nil, "more than 256 keys"},
		{"nobody there", "http://127.0.0.1:1", nil, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := new(keyEvents)
			_, v := newRemoteVerifier(t, verify.RemoteConfig{URL: tt.url, Transport: tt.transport, OnEvent: events.tell})
			if tt.says == "" {
				wantRefused(t, v, a.Token(plain()), "")
				return
			}
			refusal := wantRefused(t, v, a.Token(plain()), verify.KeysUnavailable)
			for _, s := range append(events.take(), refusal.Error()) {
				if !strings.Contains(s, tt.says) || strings.Contains(s, "SECRET") || strings.Contains(s, "127.0.0.1") || len(s) > 400 {
					t.Errorf("%q, want %q", s, tt.says)
				}
			}
		})
	}
	known.(*http.Transport).CloseIdleConnections()
}

// TestRemoteConfig has configurations that make no sense.
func TestRemoteConfig(t *testing.T) {
	for _, c := range []verify.RemoteConfig{
		{},
		{URL: "jwks.json"},
		{URL: "https://"},
		{URL: "https:///SECRET"},
		{URL: "http://issuer.example/jwks.json"},
		{URL: "http://SECRET@192.0.2.1/jwks.json"},
		{URL: "http://localhost.example/jwks.json"},
		{URL: "file:///SECRET"},
		{URL: "https://SECRET\n"},
		{URL: "https://issuer.example", MaxStale: 25 * time.Hour},
	} {
		set, err := verify.NewRemoteKeySet(c)
		if err == nil {
			set.Close()
			t.Errorf("%+v: no error", c)
		} else if strings.Contains(err.Error(), "SECRET") {
			t.Error(err)
		}
	}
}
