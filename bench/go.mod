module github.com/ingressauth/ingressauth/bench

go 1.26.0

require (
	github.com/ingressauth/ingressauth v0.0.0
	golang.org/x/oauth2 v0.37.0
)

require (
	golang.org/x/sync v0.23.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/ingressauth/ingressauth => ../
