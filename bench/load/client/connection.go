package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	readBuffer  = 64 << 10
	graceToEnd  = 5 * time.Second
	maxFailures = 10
)

var eventEnd = []byte("\n\n")

// job is the same for all connections.
type job struct {
	address  string
	request  []byte
	expect   int
	perConn  int
	measured time.Time
	end      time.Time
}

// tally is one connection's own account, so that nothing is shared while it runs.
type tally struct {
	latencies  []time.Duration
	firstBytes []time.Duration
	events     int
	answered   int
	errors     int
	failure    error
}

// answer is what was read of one response. newline tells that the last part read ended with one.
type answer struct {
	status    int
	bytes     int
	events    int
	firstByte time.Time
	newline   bool
	keepAlive bool
}

// work sends requests until the job's end, with a new connection after each failure, up to a bound.
func (t *tally) work(job *job) {
	t.latencies = make([]time.Duration, 0, 4096)
	t.firstBytes = make([]time.Duration, 0, 4096)
	for sent := 0; sent < job.perConn && time.Now().Before(job.end) && t.errors < maxFailures; {
		count, err := t.connection(job, job.perConn-sent)
		sent += count
		if err != nil {
			t.errors++
			t.failure = err
		}
	}
}

// connection runs requests over one connection until the end, a failure, or the server's wish to close.
func (t *tally) connection(job *job, limit int) (int, error) {
	connection, err := net.Dial("tcp", job.address)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(job.end.Add(graceToEnd)); err != nil {
		return 0, err
	}
	reader := bufio.NewReaderSize(connection, readBuffer)
	for sent := 0; sent < limit; sent++ {
		start := time.Now()
		if !start.Before(job.end) {
			return sent, nil
		}
		if _, err := connection.Write(job.request); err != nil {
			return sent, err
		}
		got, err := readAnswer(reader)
		if err == nil {
			err = got.check(job.expect)
		}
		if err != nil {
			return sent + 1, err
		}
		t.note(job, start, got)
		if !got.keepAlive {
			return sent + 1, nil
		}
	}
	return limit, nil
}

// note counts an answer that was both asked for and complete within the measured time.
func (t *tally) note(job *job, start time.Time, got answer) {
	done := time.Now()
	t.answered++
	if start.Before(job.measured) || done.After(job.end) {
		return
	}
	t.latencies = append(t.latencies, done.Sub(start))
	t.firstBytes = append(t.firstBytes, got.firstByte.Sub(start))
	t.events += got.events
}

func (a answer) check(expect int) error {
	if a.status != 200 {
		return fmt.Errorf("status %d", a.status)
	}
	if expect > 0 && a.bytes != expect {
		return fmt.Errorf("a body of %d bytes, not %d", a.bytes, expect)
	}
	return nil
}

func readAnswer(reader *bufio.Reader) (answer, error) {
	got := answer{keepAlive: true}
	line, err := readLine(reader)
	if err != nil {
		return got, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return got, fmt.Errorf("not a status line: %q", line)
	}
	if got.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return got, err
	}
	length, chunked := 0, false
	for {
		if line, err = readLine(reader); err != nil {
			return got, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return got, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			got.keepAlive = !bytes.EqualFold(value, []byte("close"))
		}
	}
	if chunked {
		return got, got.readChunks(reader)
	}
	return got, got.readPart(reader, length)
}

func (a *answer) readChunks(reader *bufio.Reader) error {
	for {
		line, err := readLine(reader)
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return err
		}
		if err := a.readPart(reader, int(size)); err != nil {
			return err
		}
		if line, err = readLine(reader); err != nil {
			return err
		}
		if len(line) != 0 {
			return errors.New("a chunk longer than it said")
		}
		if size == 0 {
			return nil
		}
	}
}

// readPart counts the bytes of a body and the events that end within them, without keeping either.
func (a *answer) readPart(reader *bufio.Reader, length int) error {
	for length > 0 {
		part, err := reader.Peek(min(length, max(1, reader.Buffered())))
		if err != nil {
			return err
		}
		if a.firstByte.IsZero() {
			a.firstByte = time.Now()
		}
		a.bytes += len(part)
		if a.newline && part[0] == '\n' {
			a.events++
		}
		a.newline = part[len(part)-1] == '\n'
		a.events += bytes.Count(part, eventEnd)
		length -= len(part)
		if _, err := reader.Discard(len(part)); err != nil {
			return err
		}
	}
	return nil
}

func readLine(reader *bufio.Reader) ([]byte, error) {
	line, err := reader.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	return bytes.TrimRight(line, "\r\n"), err
}
