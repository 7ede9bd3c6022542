// Command client keeps N connections busy with one and the same request for a while and reports, as one JSON object,
// how many answers came back right, how fast, and how long each took.
//
// It is a closed loop: each connection sends its next request when the answer to the last one is complete.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

// report is what one run measured. Times are microseconds; only AllRequests includes the warm-up.
type report struct {
	Connections    int      `json:"connections"`
	Seconds        float64  `json:"seconds"`
	AllRequests    int      `json:"all_requests"`
	Requests       int      `json:"requests"`
	RequestsPerSec float64  `json:"requests_per_second"`
	Events         int      `json:"events"`
	EventsPerSec   float64  `json:"events_per_second"`
	LatencyUs      quantity `json:"latency_us"`
	FirstByteUs    quantity `json:"first_byte_us"`
	Errors         int      `json:"errors"`
	ErrorSamples   []string `json:"error_samples"`
}

type quantity struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// headers collects repeated -header flags.
type headers []string

func (h *headers) String() string { return strings.Join(*h, ", ") }

func (h *headers) Set(value string) error {
	*h = append(*h, value)
	return nil
}

func main() {
	var extra headers
	address := flag.String("address", "", "host:port of the server, loopback")
	path := flag.String("path", "/v1/chat/completions", "what to POST to")
	body := flag.String("body", "", "file that holds the request body")
	connections := flag.Int("connections", 64, "connections kept busy")
	duration := flag.Duration("duration", 3*time.Second, "how long to measure")
	warmup := flag.Duration("warmup", 300*time.Millisecond, "how long to run before that")
	limit := flag.Int("limit", 1_000_000, "stop after so many requests in all")
	expect := flag.Int("expect", 0, "length of a right answer's body in bytes")
	flag.Var(&extra, "header", "a header line, may be repeated")
	flag.Parse()

	if !isLoopback(*address) {
		log.Fatalf("%q is not a loopback address; this program must not load anything else", *address)
	}
	content, err := os.ReadFile(*body)
	if err != nil {
		log.Fatal(err)
	}
	job := job{
		address:  *address,
		request:  requestBytes(*address, *path, extra, content),
		expect:   *expect,
		perConn:  max(1, *limit / *connections),
		measured: time.Now().Add(*warmup),
	}
	job.end = job.measured.Add(*duration)
	if err := json.NewEncoder(os.Stdout).Encode(run(&job, *connections, duration.Seconds())); err != nil {
		log.Fatal(err)
	}
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && net.ParseIP(host).IsLoopback()
}

func requestBytes(address, path string, extra headers, body []byte) []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "POST %s HTTP/1.1\r\nhost: %s\r\n", path, address)
	for _, line := range extra {
		text.WriteString(line + "\r\n")
	}
	fmt.Fprintf(&text, "content-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(body), body)
	return []byte(text.String())
}

func run(job *job, connections int, seconds float64) report {
	tallies := make([]tally, connections)
	var group sync.WaitGroup
	for number := range tallies {
		group.Add(1)
		go func() {
			defer group.Done()
			tallies[number].work(job)
		}()
	}
	group.Wait()
	return summed(tallies, seconds)
}

func summed(tallies []tally, seconds float64) report {
	result := report{Connections: len(tallies), Seconds: seconds, ErrorSamples: []string{}}
	var latencies, firstBytes []time.Duration
	for number := range tallies {
		item := &tallies[number]
		latencies = append(latencies, item.latencies...)
		firstBytes = append(firstBytes, item.firstBytes...)
		result.AllRequests += item.answered
		result.Events += item.events
		result.Errors += item.errors
		if item.failure != nil && len(result.ErrorSamples) < 3 {
			result.ErrorSamples = append(result.ErrorSamples, item.failure.Error())
		}
	}
	result.Requests = len(latencies)
	result.RequestsPerSec = float64(result.Requests) / seconds
	result.EventsPerSec = float64(result.Events) / seconds
	result.LatencyUs = quantified(latencies)
	result.FirstByteUs = quantified(firstBytes)
	return result
}

func quantified(values []time.Duration) quantity {
	if len(values) == 0 {
		return quantity{}
	}
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	var sum time.Duration
	for _, value := range values {
		sum += value
	}
	at := func(share float64) float64 {
		return microseconds(values[min(len(values)-1, int(share*float64(len(values))))])
	}
	mean := microseconds(sum) / float64(len(values))
	return quantity{P50: at(0.5), P90: at(0.9), P99: at(0.99), Mean: mean, Max: microseconds(values[len(values)-1])}
}

func microseconds(value time.Duration) float64 {
	return float64(value.Nanoseconds()) / 1000
}
