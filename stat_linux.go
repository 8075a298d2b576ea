package ingressauth

import (
	"os"
	"strconv"
	"strings"
)

// isOverflowUser reports whether uid stands for every user that this user
// namespace does not know (user_namespaces(7)).
func isOverflowUser(uid int) bool {
	overflow := 65534
	if b, err := os.ReadFile("/proc/sys/kernel/overflowuid"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			overflow = n
		}
	}
	return uid == overflow
}
