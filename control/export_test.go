package control

// Waiting returns how many messages wait for their turn.
func (w *Writer) Waiting() int { return len(w.waiting()) }

// SetLimit sets what is too long for a message, in bytes without its LF.
func (r *Reader) SetLimit(n int) { r.limit = n }
