//go:build race

package ingressauth_test

const raceEnabled = true
