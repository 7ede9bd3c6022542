// Command upstream answers every POST with one small OpenAI chat completion, or with a stream of chunks when the
// body asks for one. It does as little else as it can, so that the proxy in front of it is what a benchmark measures.
//
// It prints one JSON line when it listens, and stops when its standard input ends.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"time"
)

const (
	readBuffer  = 64 << 10
	answerModel = "gpt-4o-mini-2024-07-18"
)

// ready is the line on standard output: where it listens, and what a whole answer looks like to a client.
type ready struct {
	Address     string `json:"address"`
	BodyBytes   int    `json:"body_bytes"`
	StreamBytes int    `json:"stream_bytes"`
	Events      int    `json:"events"`
}

// answers holds everything that will ever be written, made once.
type answers struct {
	whole        []byte
	streamHeader []byte
	chunks       [][]byte
	latency      time.Duration
	pace         time.Duration
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	latency := flag.Duration("latency", 0, "time from the request to the first byte")
	chunks := flag.Int("chunks", 100, "text chunks of a stream")
	pace := flag.Duration("pace", 0, "time between two chunks")
	flag.Parse()

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	body := completion()
	events := stream(*chunks)
	made := answers{
		whole:        append(header("application/json", fmt.Sprintf("content-length: %d\r\n", len(body))), body...),
		streamHeader: header("text/event-stream; charset=utf-8", "transfer-encoding: chunked\r\n"),
		chunks:       framed(events),
		latency:      *latency,
		pace:         *pace,
	}
	line := ready{listener.Addr().String(), len(body), len(bytes.Join(events, nil)), len(events)}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		log.Fatal(err)
	}
	go stopWithStdin()
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go made.serve(connection)
	}
}

func stopWithStdin() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// serve answers one connection's requests in turn until the client is gone.
func (a *answers) serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, readBuffer)
	for {
		streamed, err := readRequest(reader)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				log.Printf("upstream: %v", err)
			}
			return
		}
		if a.latency > 0 {
			time.Sleep(a.latency)
		}
		if streamed {
			err = a.writeStream(connection)
		} else {
			_, err = connection.Write(a.whole)
		}
		if err != nil {
			return
		}
	}
}

// writeStream sends each chunk with a write of its own, as a model's server does.
func (a *answers) writeStream(connection net.Conn) error {
	if _, err := connection.Write(a.streamHeader); err != nil {
		return err
	}
	for _, chunk := range a.chunks {
		if a.pace > 0 {
			time.Sleep(a.pace)
		}
		if _, err := connection.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// readRequest consumes one request with a Content-Length and tells whether its body asks for a stream.
func readRequest(reader *bufio.Reader) (bool, error) {
	length := 0
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 && !first {
			break
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if found && len(name) == len("content-length") && bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return false, err
			}
		}
		if found && bytes.EqualFold(name, []byte("transfer-encoding")) {
			return false, errors.New("a request without Content-Length; send whole bodies")
		}
	}
	peeked, err := reader.Peek(min(length, readBuffer))
	if err != nil {
		return false, err
	}
	streamed := bytes.Contains(peeked, []byte(`"stream":true`)) || bytes.Contains(peeked, []byte(`"stream": true`))
	_, err = reader.Discard(length)
	return streamed, err
}

func header(contentType, framing string) []byte {
	return []byte("HTTP/1.1 200 OK\r\ncontent-type: " + contentType + "\r\n" + framing +
		"x-request-id: req_00000000000000000000000000000000\r\nopenai-processing-ms: 1\r\n" +
		"openai-version: 2020-10-01\r\n\r\n")
}

func completion() []byte {
	return encode(map[string]any{
		"id": "chatcmpl-000000000000000000000000000000", "object": "chat.completion", "created": 1700000000,
		"model": answerModel,
		"choices": []any{map[string]any{
			"index":         0,
			"message":       message("Hello! How can I help you today?"),
			"logprobs":      nil,
			"finish_reason": "stop",
		}},
		"usage": usage(), "service_tier": "default", "system_fingerprint": "fp_0000000000",
	})
}

func message(content string) map[string]any {
	return map[string]any{"role": "assistant", "content": content, "refusal": nil, "annotations": []any{}}
}

func stream(chunks int) [][]byte {
	events := make([][]byte, 0, chunks+3)
	for number := 0; number < chunks; number++ {
		events = append(events, event(choice(map[string]any{"content": "token "}, nil), nil))
	}
	events = append(events, event(choice(map[string]any{}, "stop"), nil))
	events = append(events, event([]any{}, usage()))
	return append(events, []byte("data: [DONE]\n\n"))
}

func choice(delta map[string]any, finish any) []any {
	return []any{map[string]any{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish}}
}

func event(choices []any, usage any) []byte {
	document := map[string]any{
		"id": "chatcmpl-000000000000000000000000000000", "object": "chat.completion.chunk", "created": 1700000000,
		"model": answerModel, "choices": choices, "usage": usage,
	}
	return append(append([]byte("data: "), encode(document)...), "\n\n"...)
}

func usage() map[string]any {
	return map[string]any{
		"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
		"prompt_tokens_details":     map[string]any{"cached_tokens": 0, "audio_tokens": 0},
		"completion_tokens_details": map[string]any{"reasoning_tokens": 0, "audio_tokens": 0},
	}
}

// framed wraps each event as one HTTP chunk; the last carries the end of the body with it.
func framed(events [][]byte) [][]byte {
	chunks := make([][]byte, len(events))
	for number, event := range events {
		chunks[number] = []byte(fmt.Sprintf("%x\r\n%s\r\n", len(event), event))
	}
	last := len(chunks) - 1
	chunks[last] = append(chunks[last], "0\r\n\r\n"...)
	return chunks
}

func encode(document any) []byte {
	data, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	return data
}
