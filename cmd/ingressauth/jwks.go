package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/verify"
)

// Bounds on how a key set is read from a file. What is too long is refused as one.
const (
	keysTimeout = 10 * time.Second
	maxKeySet   = 1 << 20 // bytes
)

// loadKeys reads the key set in a file, which may be a pipe that ends soon, or at a URL,
// once. Its errors do not show the name of the file or host, as that may be a token.
func loadKeys(ctx context.Context, where string, log *slog.Logger) (verify.KeySet, error) {
	if strings.Contains(where, "://") {
		return verify.FetchKeySet(ctx, where, log)
	}
	text, err := readfile.OrPipe(where, maxKeySet+1, keysTimeout)
	if err != nil {
		return nil, err
	}
	return verify.NewKeySet(text, log)
}
