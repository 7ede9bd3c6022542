// A host of plugins on hashicorp/go-plugin itself, steered line by line over standard input.
//
// Messages pass through as bytes, so that the test that steers it says what is in them. The one argument is the
// plugin's program. A line is one JSON object with an "op":
//
//	call:   call "method" with "body"; the answer has "body", or "code" and "error"
//	offer:  serve every method of a service with "body" as its answer, behind the broker; the answer has "id"
//	stdout: what the plugin has printed so far, as "body"
//	kill:   end the plugin; the answer has "exited"
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

type raw struct{ bytes []byte }

type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return v.(*raw).bytes, nil }
func (rawCodec) Unmarshal(data []byte, v any) error { v.(*raw).bytes = bytes.Clone(data); return nil }
func (rawCodec) Name() string                       { return "proto" }

type connection struct {
	broker *plugin.GRPCBroker
	conn   *grpc.ClientConn
}

type dispenser struct{ plugin.NetRPCUnsupportedPlugin }

func (dispenser) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }

func (dispenser) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &connection{broker, conn}, nil
}

func (c *connection) call(method string, body []byte) ([]byte, error) {
	var answer raw
	err := c.conn.Invoke(context.Background(), method, &raw{body}, &answer, grpc.ForceCodec(rawCodec{}))
	return answer.bytes, err
}

func (c *connection) offer(answer []byte) uint32 {
	id := c.broker.NextId()
	go c.broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		always := func(_ any, stream grpc.ServerStream) error {
			var request raw
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			return stream.SendMsg(&raw{answer})
		}
		options = append(options, grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(always))
		return grpc.NewServer(options...)
	})
	return id
}

type printed struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (p *printed) Write(data []byte) (int, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.text.Write(data)
}

func (p *printed) all() []byte {
	p.lock.Lock()
	defer p.lock.Unlock()
	return bytes.Clone(p.text.Bytes())
}

type order struct {
	Op     string `json:"op"`
	Method string `json:"method"`
	Body   []byte `json:"body"`
}

type answer struct {
	Body   []byte `json:"body"`
	Code   string `json:"code,omitempty"`
	Error  string `json:"error,omitempty"`
	ID     uint32 `json:"id,omitempty"`
	Exited bool   `json:"exited,omitempty"`
}

func main() {
	stdout := &printed{}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: 1, MagicCookieKey: "AI_STUDIO_PLUGIN", MagicCookieValue: "v1",
		},
		Plugins:          map[string]plugin.Plugin{"plugin": dispenser{}},
		Cmd:              exec.Command(os.Args[1]),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Trace}),
		SyncStdout:       stdout,
	})
	defer client.Kill()
	if err := serve(client, stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		client.Kill()
		os.Exit(1)
	}
}

func serve(client *plugin.Client, stdout *printed) error {
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	if err := protocol.Ping(); err != nil {
		return err
	}
	dispensed, err := protocol.Dispense("plugin")
	if err != nil {
		return err
	}
	c := dispensed.(*connection)
	orders, answers := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := orders.ReadBytes('\n')
		if err != nil {
			return nil
		}
		var o order
		if err := json.Unmarshal(line, &o); err != nil {
			return err
		}
		if err := answers.Encode(obey(o, c, client, stdout)); err != nil {
			return err
		}
	}
}

func obey(o order, c *connection, client *plugin.Client, stdout *printed) answer {
	switch o.Op {
	case "call":
		body, err := c.call(o.Method, o.Body)
		if err != nil {
			return answer{Code: status.Code(err).String(), Error: status.Convert(err).Message()}
		}
		return answer{Body: body}
	case "offer":
		return answer{ID: c.offer(o.Body)}
	case "stdout":
		return answer{Body: stdout.all()}
	case "kill":
		client.Kill()
		return answer{Exited: client.Exited()}
	}
	return answer{Error: "no such op: " + o.Op}
}
