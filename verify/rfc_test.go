package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth/verify"
)

// The payload of the examples in RFC 7515, appendix A.1 to A.3, line breaks and all.
const rfc7515Payload = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"

// TestRFC has the examples of RFC 7515, appendix A, and RFC 8037, appendix A.4, with
// their keys. Those of algorithms that this package does not have are refused.
func TestRFC(t *testing.T) {
	const payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	for _, tt := range []struct{ name, key, jws, payload, want string }{
		{
			name: "RFC 7515 A.1, HS256: its key is a secret",
			key: `{"kty":"oct",
				"k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}`,
			jws:  "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + payload + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
			want: "set",
		}, {
			name: "RFC 7515 A.2, RS256",
			key: `{"kty":"RSA",
				"n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql` +
				`L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e` +
				`-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_` +
				`h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
				"e":"AQAB"}`,
			jws: "eyJhbGciOiJSUzI1NiJ9." + payload + "." +
				"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb" +
				"F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383" +
				"LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy" +
				"wlVmtVrBp0igcN_IoypGlUPQGe77Rw",
			payload: rfc7515Payload,
		}, {
			name: "RFC 7515 A.3, ES256",
			key: `{"kty":"EC", "crv":"P-256",
				"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
				"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			jws: "eyJhbGciOiJFUzI1NiJ9." + payload + "." +
				"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
			payload: rfc7515Payload,
		}, {
			name: "RFC 7515 A.4, ES512: its key is of another curve",
			key: `{"kty":"EC", "crv":"P-521",
				"x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
				"y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}`,
			jws: "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA." +
				"AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgo" +
				"XD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
			want: "set",
		}, {
			name: "RFC 7515 A.5, not signed",
			jws:  "eyJhbGciOiJub25lIn0." + payload + ".",
			want: string(verify.Malformed),
		}, {
			name: "RFC 7515 A.6, in JSON",
			jws:  `{"payload":"` + payload + `","signatures":[{"protected":"eyJhbGciOiJSUzI1NiJ9","signature":"AA"}]}`,
			want: string(verify.Malformed),
		}, {
			name: "RFC 8037 A.4, Ed25519",
			key:  `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			jws: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
				"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
			payload: "Example of Ed25519 signing",
		}, {
			name: "RFC 8037 A.1, its private key",
			key: `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
				"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			want: "set",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := keySet(t)
			if tt.key != "" {
				var err error
				if set, err = verify.NewKeySet([]byte(fmt.Sprintf(`{"keys":[%s]}`, tt.key)), quiet); err != nil {
					if tt.want != "set" {
						t.Fatal(err)
					}
					return
				}
			}
			payload, err := verify.VerifyJWS(tt.jws, set)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
			if err != nil || payload != tt.payload {
				t.Errorf("%q, %v; want %q", payload, err, tt.payload)
			}
		})
	}
}
