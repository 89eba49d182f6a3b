// What runs in pods of a test cluster beside our services: it pauses, asks once, or makes load. Static, so that an empty
// image is enough.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// request is what every mode sends.
type request struct {
	url, ca, bearer, body, token string
}

func main() {
	if len(os.Args) < 2 {
		pause()
		return
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	var asked request
	flags.StringVar(&asked.url, "url", "", "where")
	flags.StringVar(&asked.ca, "ca", "", "file with the authority of the server")
	flags.StringVar(&asked.bearer, "bearer", "", "file with a token that is sent as a credential")
	flags.StringVar(&asked.body, "body", "", "what is posted; TOKEN in it is replaced")
	flags.StringVar(&asked.token, "token", "", "file with the token that goes into the body")
	workers := flags.Int("workers", 4, "how many clients at once, for load")
	flags.Parse(os.Args[2:])
	switch os.Args[1] {
	case "pause":
		pause()
	case "ask":
		asked.once()
	case "load":
		asked.load(*workers)
	default:
		fail(fmt.Errorf("no mode %q", os.Args[1]))
	}
}

// pause waits for the end, and reaps what a pod leaves to its first process.
func pause() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func fail(err error) {
	fmt.Println(err)
	os.Exit(1)
}

// client has connections of its own, so that each worker is a client by itself.
func (asked request) client() *http.Client {
	roots := x509.NewCertPool()
	if asked.ca != "" {
		text, err := os.ReadFile(asked.ca)
		if err != nil {
			fail(err)
		}
		if !roots.AppendCertsFromPEM(text) {
			fail(fmt.Errorf("%s holds no certificate", asked.ca))
		}
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// read gives a file without the white space around it, or nothing for no name.
func read(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	text, err := os.ReadFile(name)
	return strings.TrimSpace(string(text)), err
}

// send posts once and gives status and answer.
func (asked request) send(client *http.Client) (int, []byte, error) {
	token, err := read(asked.token)
	if err != nil {
		return 0, nil, err
	}
	bearer, err := read(asked.bearer)
	if err != nil {
		return 0, nil, err
	}
	body := strings.ReplaceAll(asked.body, "TOKEN", token)
	request, err := http.NewRequest(http.MethodPost, asked.url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// once prints the answer; its exit code says whether it was one of success.
func (asked request) once() {
	status, text, err := asked.send(asked.client())
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
	if status/100 != 2 {
		os.Exit(1)
	}
}
