// A static Go program: its own resolver, system calls without libc, non-blocking connects.
//
//	go_dial echo HOST:PORT [COUNT]   COUNT dials at once; each sends a line and expects it back
//	go_dial dial HOST:PORT COUNT     COUNT dials at once, and no data
//	go_dial run PROGRAM WORD...      runs a program as a child
//	go_dial get URL                  net/http, prints the body
//	go_dial peer HOST:PORT           prints the remote address of a connection
//	go_dial cancel HOST:PORT MS      dials with a deadline, prints the error
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

func fail(err error) {
	fmt.Println("error:", err)
	os.Exit(1)
}

func echo(address string) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err = fmt.Fprintln(connection, "hello"); err != nil {
		return err
	}
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err == nil && line != "hello\n" {
		err = fmt.Errorf("%q came back", line)
	}
	return err
}

func dial(address string) error {
	connection, err := net.Dial("tcp", address)
	if err == nil {
		err = connection.Close()
	}
	return err
}

func echoes(address string, count int) {
	atOnce(count, func() error { return echo(address) })
}

func dials(address string, count int) {
	atOnce(count, func() error { return dial(address) })
}

func atOnce(count int, do func() error) {
	var group sync.WaitGroup
	var answered atomic.Int64
	errors := make(chan error, count)
	began := time.Now()
	for range count {
		group.Go(func() {
			if err := do(); err != nil {
				errors <- err
			} else {
				answered.Add(1)
			}
		})
	}
	group.Wait()
	fmt.Println(answered.Load(), "answered")
	fmt.Fprintln(os.Stderr, "milliseconds:", time.Since(began).Milliseconds())
	select {
	case err := <-errors:
		fail(err)
	default:
	}
}

func main() {
	verb, target := os.Args[1], os.Args[2]
	switch verb {
	case "echo":
		count := 1
		if len(os.Args) > 3 {
			count, _ = strconv.Atoi(os.Args[3])
		}
		echoes(target, count)
	case "get":
		answer, err := http.Get(target)
		if err != nil {
			fail(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			fail(err)
		}
		os.Stdout.Write(body)
	case "peer":
		connection, err := net.Dial("tcp", target)
		if err != nil {
			fail(err)
		}
		fmt.Println(connection.RemoteAddr())
	case "run":
		command := exec.Command(target, os.Args[3:]...)
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
		if err := command.Run(); err != nil {
			fail(err)
		}
	case "dial":
		count, _ := strconv.Atoi(os.Args[3])
		dials(target, count)
	case "cancel":
		milliseconds, _ := strconv.Atoi(os.Args[3])
		limit, cancel := context.WithTimeout(context.Background(), time.Duration(milliseconds)*time.Millisecond)
		defer cancel()
		var dialer net.Dialer
		if _, err := dialer.DialContext(limit, "tcp", target); err != nil {
			fail(err)
		}
		fmt.Println("connected")
	}
}
