package ingressauth

import (
	"context"
	"log/slog"
)

// journal is what is to be logged when the slot has been left.
type journal []record

type record struct {
	level   slog.Level
	message string
	args    []any
}

func (j *journal) add(level slog.Level, message string, args ...any) {
	*j = append(*j, record{level, message, args})
}

func (j journal) write(log *slog.Logger) {
	for _, r := range j {
		log.Log(context.Background(), r.level, r.message, r.args...)
	}
}
