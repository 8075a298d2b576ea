package broker

import (
	"testing"
)

func TestConfig(t *testing.T) {
	good := Config{Source: new(rotating), Routes: []Route{{Upstream: "https://service.example"}}}
	for name, change := range map[string]func(*Config){
		"no source": func(c *Config) { c.Source = nil },
		"no route":  func(c *Config) { c.Routes = nil },
		"header":    func(c *Config) { c.MaxHeader = -1 },
		"body":      func(c *Config) { c.MaxBody = -1 },
		"time":      func(c *Config) { c.AnswerTime = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	b, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Add(ChildConfig{Supervisor: -1}); err == nil {
		t.Error("a negative supervisor")
	}
	if _, err := b.Add(ChildConfig{Supervisor: 1}); err != nil {
		t.Error(err)
	}
	if _, err := b.Add(ChildConfig{Supervisor: 1}); err == nil {
		t.Error("two children with one supervisor")
	}
	b.Close()
	if _, err := b.Add(ChildConfig{}); err == nil {
		t.Error("a child of a closed broker")
	}
	if _, err := b.Listen("127.0.0.1:0"); err == nil {
		t.Error("a listener of a closed broker")
	}
}
