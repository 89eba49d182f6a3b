package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// tally is what all workers have seen.
type tally struct {
	sync.Mutex
	good, bad int
	slowest   time.Duration
}

func (seen *tally) add(status int, err error, took time.Duration) {
	seen.Lock()
	defer seen.Unlock()
	if err == nil && status/100 == 2 {
		seen.good++
	} else {
		seen.bad++
		fmt.Printf("%s failed: status %d, %v\n", time.Now().Format(time.RFC3339Nano), status, err)
	}
	seen.slowest = max(seen.slowest, took)
}

// line is read by whoever watches: requests answered with success, failed ones, and the slowest in milliseconds.
func (seen *tally) line(word string) {
	seen.Lock()
	defer seen.Unlock()
	fmt.Printf("%s good=%d bad=%d slowest=%d\n", word, seen.good, seen.bad, seen.slowest.Milliseconds())
}

// load asks until it is told to stop. Half of the workers keep their connections, the others make one for each request.
func (asked request) load(workers int) {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	stop := make(chan struct{})
	var seen tally
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() { asked.work(worker%2 == 0, stop, &seen) })
	}
	tick := time.NewTicker(time.Second)
	for {
		select {
		case <-tick.C:
			seen.line("so far:")
		case <-end:
			close(stop)
			all.Wait()
			seen.line("in all:")
			return
		}
	}
}

func (asked request) work(keeps bool, stop <-chan struct{}, seen *tally) {
	client := asked.client()
	for {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		begun := time.Now()
		status, _, err := asked.send(client)
		seen.add(status, err, time.Since(begun))
		if !keeps {
			client.CloseIdleConnections()
		}
	}
}
