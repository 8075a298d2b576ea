//go:build !linux && !darwin && !freebsd

package regular

// NonBlock has no meaning here, or nobody has tried it.
const NonBlock = 0
