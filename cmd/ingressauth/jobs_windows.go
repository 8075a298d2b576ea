package main

import (
	"os"
	"os/exec"
	"time"

	"github.com/ingressauth/ingressauth/internal/proctree"
)

// The command gets the console's events by itself; we wait for its end.

var jobSignals = []os.Signal{os.Interrupt}

type jobs struct{}

func newJobs() *jobs { return &jobs{} }

func (*jobs) orphaned() bool { return false }

func (*jobs) prepare(*exec.Cmd, *proctree.Group) {}

func (*jobs) rejoin() {}

func (*jobs) started(int) {}

func (*jobs) ended() {}

func (*jobs) settle(int) {}

func (*jobs) settling() <-chan time.Time { return nil }

func (*jobs) changed(os.Signal, int) bool { return false }

func (*jobs) passes(os.Signal, int) bool { return false }

func (*jobs) hurries(os.Signal) bool { return false }
