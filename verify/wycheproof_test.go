package verify_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ingressauth/ingressauth/verify"
)

// vectors is a file of C2SP/wycheproof (schemas json_web_signature_schema_v1 and
// json_web_key_schema_v1).
type vectors struct {
	TestGroups []struct {
		// Public is a JWK or a JWK Set. Where a group has none, its keys are
		// symmetric or an attack, and Private is what it has.
		Public, Private json.RawMessage
		Tests           []struct {
			ID      int `json:"tcId"`
			Comment string
			JWS     json.RawMessage
			Result  string
		}
	}
}

func readVectors(t *testing.T, name string) vectors {
	t.Helper()
	// Beside the project, or where the variable says.
	dir := cmp.Or(os.Getenv("WYCHEPROOF_DIR"), "../../shared/testdata/wycheproof")
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs testvectors_v1 of C2SP/wycheproof at dac1dd4, which are not this project's to hold, in WYCHEPROOF_DIR")
	}
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Why a vector that is marked as valid is refused.
const (
	symmetric = "the key is symmetric (HS256, HS384, HS512): whoever can verify with it can sign"
	otherHash = "the algorithm is RS384 or RS512, and RS256 is the one for RSA keys"
	pss       = "the algorithm is PS256, PS384 or PS512, and RS256 is the one for RSA keys"
	p521      = "the curve is P-521, and P-256 is the one for ECDSA"
)

// refusedThoughValid are all the vectors marked as valid that are refused, by file and
// id.
var refusedThoughValid = map[string]map[int]string{
	"json_web_signature_test.json": {
		1: symmetric, 348: symmetric, 352: symmetric, 357: symmetric, 358: symmetric, 359: symmetric,
		372: symmetric, 373: symmetric, 376: symmetric, 377: symmetric,
		264: otherHash, 265: otherHash, 266: otherHash, 267: otherHash, 268: otherHash, 269: otherHash, 270: otherHash, 271: otherHash,
		272: pss, 273: pss, 274: pss, 275: pss, 287: pss, 288: pss, 320: pss, 321: pss, 322: pss, 323: pss,
		325: pss, 326: pss, 327: pss, 328: pss, 346: pss, 350: pss,
		347: p521, 351: p521,
	},
	"json_web_key_test.json": {2: symmetric, 13: symmetric, 14: symmetric, 15: symmetric},
}

// TestWycheproof accepts no vector marked as invalid, and refuses those marked as valid
// that the table has a reason for, and no others.
func TestWycheproof(t *testing.T) {
	for name, counted := range map[string]int{"json_web_signature_test.json": 401, "json_web_key_test.json": 26} {
		t.Run(name, func(t *testing.T) {
			n := 0
			for _, group := range readVectors(t, name).TestGroups {
				keys := group.Public
				if keys == nil {
					keys = group.Private
				}
				var isSet struct{ Keys []json.RawMessage }
				if json.Unmarshal(keys, &isSet) != nil || isSet.Keys == nil {
					keys = json.RawMessage(fmt.Sprintf(`{"keys":[%s]}`, keys))
				}
				set, setErr := verify.NewKeySet(keys, quiet)
				for _, test := range group.Tests {
					n++
					err := setErr
					if err == nil {
						var text string
						if json.Unmarshal(test.JWS, &text) != nil {
							text = string(test.JWS) // a JWS in JSON
						}
						_, err = verify.VerifyJWS(text, set)
					}
					why := refusedThoughValid[name][test.ID]
					switch {
					case test.Result != "valid" && err == nil:
						t.Errorf("%d (%s) is marked as %s, and accepted", test.ID, test.Comment, test.Result)
					case test.Result == "valid" && err != nil && why == "":
						t.Errorf("%d (%s) is marked as valid, and refused without a reason in the table: %v", test.ID, test.Comment, err)
					case why != "" && (err == nil || test.Result != "valid"):
						t.Errorf("%d (%s) is in the table, and not refused or not marked as valid", test.ID, test.Comment)
					}
				}
			}
			if n != counted {
				t.Errorf("%d vectors, want %d", n, counted)
			}
		})
	}
}
