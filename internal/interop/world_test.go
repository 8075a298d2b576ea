package interop

import (
	"os"
	"testing"

	"github.com/ingressauth/ingressauth"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newResolver returns one of variables that are this test's own, with this token.
func newResolver(t *testing.T, token string) *ingressauth.Resolver {
	t.Helper()
	r := &ingressauth.Resolver{Profile: ingressauth.Profile{
		TokenVariable: "TEST_INTEROP_TOKEN", DescriptorVariable: "TEST_INTEROP_DESCRIPTOR",
		OrganizationVariable: "TEST_INTEROP_ORGANIZATION", File: "/nonexistent/token",
	}}
	for _, name := range []string{r.Profile.TokenVariable, r.Profile.OrganizationVariable} {
		t.Cleanup(func() { os.Unsetenv(name) })
	}
	update(t, r, token)
	return r
}

func update(t *testing.T, r *ingressauth.Resolver, token string) {
	t.Helper()
	if err := r.Update(token); err != nil {
		t.Fatal(err)
	}
}
