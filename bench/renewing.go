package main

import (
	"context"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
	"golang.org/x/oauth2"
)

// renewing measures how long it takes to get a token from what renews it, while it is good. The
// caller closes what is returned.
func renewing() (budget, *refresh.Refresher, error) {
	token, err := ingressauth.NewToken(endingJWT, "")
	if err != nil {
		return budget{}, nil, err
	}
	r, err := refresh.New(refresh.Config{Source: ingressauth.Static(token)})
	if err != nil {
		return budget{}, nil, err
	}
	ctx := context.Background()
	source := oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: endingJWT, Expiry: time.Now().Add(time.Hour)}, nil)
	return budget{
		what: "`Refresher`, a token that is good", against: "`oauth2.ReuseTokenSource`",
		do: func() {
			var err error
			if sinkToken, err = r.Token(ctx); err != nil {
				panic(err)
			}
		},
		reference: func() {
			t, err := source.Token()
			if err != nil {
				panic(err)
			}
			sinkString = t.AccessToken
		},
		ratio: 1,
	}, r, nil
}
