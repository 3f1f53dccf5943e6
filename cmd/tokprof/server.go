package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"tokprof/trace/capture"
	"tokprof/trace/serving"
)

// serverFlags say which servers, and how to reach them.
type serverFlags struct {
	servers           []string
	engine            string
	apiKey, apiKeyEnv string
	headers           []string
	ca                string
	model             string
	chat              bool
	through           string
}

func (s *serverFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&s.servers, "server", nil, "`URL` of the server; once for each server of a group that is profiled together")
	f.StringVar(&s.engine, "engine", "auto", "auto, vllm, sglang or trtllm")
	f.StringVar(&s.through, "send-to", "", "send the requests to `URL` (a router) instead of the servers in turn")
	f.StringVar(&s.apiKeyEnv, "api-key-env", "", "environment `VARIABLE` that holds the API key")
	f.StringVar(&s.apiKey, "api-key", "", "API `KEY`; other users may see it in the process list")
	f.StringArrayVar(&s.headers, "header", nil, "`'NAME: VALUE'` to send with every request")
	f.StringVar(&s.ca, "ca", "", "PEM `FILE` of the authority that signed the server's certificate")
	f.StringVar(&s.model, "model", "", "`NAME` of the model to ask, where there are several")
	f.BoolVar(&s.chat, "chat", false, "ask /v1/chat/completions; prompts then are text of about the length asked for")
}

// key is the API key, "" without one. It is never stored.
func (s *serverFlags) key() (string, error) {
	switch {
	case s.apiKey != "" && s.apiKeyEnv != "":
		return "", usageError{"--api-key and --api-key-env both give the key", "give one of them"}
	case s.apiKeyEnv != "":
		if k := os.Getenv(s.apiKeyEnv); k != "" {
			return k, nil
		}
		return "", usageError{"--api-key-env " + s.apiKeyEnv + " is not set", "export it in this shell"}
	}
	return s.apiKey, nil
}

func (s *serverFlags) header() (http.Header, error) {
	h := http.Header{}
	for _, one := range s.headers {
		name, value, ok := strings.Cut(one, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usageError{"--header takes 'NAME: VALUE'", "quote it as one word"}
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return h, nil
}

// connect asks every server what it is.
func (s *serverFlags) connect(ctx context.Context) ([]capture.Target, error) {
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	header, err := s.header()
	if err != nil {
		return nil, err
	}
	var out []capture.Target
	for _, u := range s.servers {
		server, err := serving.Connect(ctx, serving.Options{URL: u, Engine: s.engine, Header: header, APIKey: key, CAFile: s.ca})
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(t capture.Target) bool { return t.Server.URL() == server.URL() }) {
			return nil, usageError{"--server " + server.URL() + " is given twice", "name each server once: its ranks would be awaited twice"}
		}
		if s.through == "" { // a router may know the model by another name
			if err := s.checkModel(server); err != nil {
				return nil, err
			}
		}
		out = append(out, capture.Target{Server: server, About: about(server, s.model)})
	}
	return out, nil
}

// mostModels bounds how many names a refusal lists.
const mostModels = 10

// checkModel refuses a model that the server does not list: its requests would fail one
// and all. A server that lists none may serve it.
func (s *serverFlags) checkModel(server *serving.Server) error {
	f := &server.Facts
	if s.model == "" || len(f.Models) == 0 {
		return nil
	}
	var names []string
	for _, m := range f.Models {
		// SGLang asks for an adapter as MODEL:ADAPTER too, and lists only the model.
		base, _, adapter := strings.Cut(s.model, m.ID+":")
		if m.ID == s.model || f.Engine == serving.SGLang && adapter && base == "" {
			return nil
		}
		name := strconv.Quote(m.ID)
		if m.Parent != "" {
			name += " (an adapter)"
		}
		names = append(names, name)
	}
	if more := len(names) - mostModels; more > 0 {
		names = append(names[:mostModels], fmt.Sprintf("%d more", more))
	}
	return usageError{fmt.Sprintf("%s serves no model %q", server.URL(), s.model), "it lists " + strings.Join(names, ", ")}
}

// about is what a bundle keeps of a server: no address, no key.
func about(s *serving.Server, model string) capture.Server {
	f := s.Facts
	a := capture.Server{Version: f.Version.Text, WorldSize: f.WorldSize, Flags: f.Config, Model: model}
	if f.Engine != serving.Unknown {
		a.Engine = f.Engine.String()
	}
	if p, ok := capture.LocalProcess(s.URL()); ok {
		a.VisibleDevices = p.VisibleDevices
	}
	if a.Model == "" && len(f.Models) > 0 {
		a.Model = f.Models[0].ID
	}
	return a
}
