//go:build !linux

package main

import (
	"os"
	"os/exec"
	"time"

	"github.com/ingressauth/ingressauth/internal/proctree"
)

// Here there is one process of ours, in one group with the command, so that a terminal
// stops and continues both.

type jobs struct{}

func newJobs(func()) *jobs { return &jobs{} }

func (*jobs) orphaned() bool { return false }

func (*jobs) prepare(*exec.Cmd, *proctree.Group) {}

func (*jobs) rejoin() {}

func (*jobs) started(int, bool) {}

func (*jobs) settle(int) {}

func (*jobs) settling() <-chan time.Time { return nil }

func (*jobs) changed(os.Signal, int) bool { return false }

func (*jobs) ended() {}
