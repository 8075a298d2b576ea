package main

import (
	"errors"
	"io/fs"
	"os"
)

// Windows has no signals that one process sends to another, and no descriptors that are
// inherited by number. The console's Ctrl+C reaches the command by itself.

var passedOn = map[string]os.Signal{}

var signalTerminate = os.Kill

const nonBlock = 0

func endsJobs(os.Signal) bool { return false }

func signalNames() []string { return nil }

func exitCode(state *os.ProcessState) (code, number int) { return state.ExitCode(), 0 }

func isNotExecutable(err error) bool { return errors.Is(err, fs.ErrPermission) }

func canWrite(int) bool { return false }

func keepFromChildren(int) {}

func discard(*os.File) {}
