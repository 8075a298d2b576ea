// Package verifytest helps to test services that verify tokens: a [Signer] makes tokens,
// good ones and others, a [KeyServer] publishes keys and fails when told to, and [Request]
// is a request of which who sent it is known already.
//
// Keys are made at run time, and are good for nothing else. Functions panic where they
// are used wrongly, since that is a mistake in a test.
package verifytest
