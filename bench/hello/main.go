// Command hello is the reference for a cold start: the least that a Go program does
// to print a line.
package main

import "os"

func main() { os.Stdout.WriteString("hello\n") }
