package control

// SetLimit sets what is too long for a message, in bytes without its LF.
func (r *Reader) SetLimit(n int) { r.limit = n }
