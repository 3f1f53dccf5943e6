package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// ShareGPT describes a load of recorded conversations.
type ShareGPT struct {
	Window   string
	Requests int
	// Output is the length of every answer; 0 takes that of the recorded one.
	Output int
	Seed   uint64
}

// maxEntry bounds one conversation of a file.
const maxEntry = 16 << 20

// ReadShareGPT plans requests from a ShareGPT file: a JSON array, or lines, of
// {"conversations":[{"from":…,"value":…},…]}. As vllm bench serve does, it takes
// conversations of two turns or more, the first as the prompt without a chat template and
// the second for the length of the answer, and drops those under 4 tokens, over 1024
// of prompt and over 2048 together. The sample is drawn evenly over the file and repeats
// itself where that has too few. Lengths are estimated, 4 bytes a token, since the
// prompts are sent as text: Plan.Estimated is set, and rows carry the server's count. A
// damaged or cut file gives what was read before, with a note.
func ReadShareGPT(r io.Reader, d ShareGPT, a Arrival) (Plan, error) {
	if d.Requests < 1 || d.Output < 0 {
		return Plan{}, fmt.Errorf("load: %d requests of %d tokens from a ShareGPT file: at least 1 request is needed, and no negative length", d.Requests, d.Output)
	}
	due, err := a.Offsets(d.Requests, d.Seed)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Window: d.Window, Estimated: true}
	g := rand.New(rand.NewPCG(d.Seed, streamDataset))
	var drawn []Planned
	usable := 0
	entries, skipped, readErr := eachConversation(r, maxEntry, func(prompt, answer string) {
		q, ok := d.request(prompt, answer)
		if !ok {
			return
		}
		if usable++; len(drawn) < d.Requests {
			drawn = append(drawn, q)
		} else if i := g.IntN(usable); i < d.Requests {
			drawn[i] = q
		}
	})
	if readErr != nil && len(drawn) == 0 {
		return p, fmt.Errorf("load: the ShareGPT file: %w", readErr)
	}
	if len(drawn) == 0 {
		return p, fmt.Errorf("load: the ShareGPT file has %d entries, none of them a conversation of two turns and fitting length", entries)
	}
	g.Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	own := windowSeed(d.Window, d.Seed)
	for i := range d.Requests {
		q := drawn[i%len(drawn)]
		q.Due, q.Salt = due[i], salt(own, i, false)
		p.Requests = append(p.Requests, q)
	}
	p.Notes = d.notes(len(drawn), skipped, entries, readErr)
	return p, nil
}

// notes say what is not as one would expect of the file.
func (d ShareGPT) notes(drawn, skipped, entries int, err error) []string {
	out := []string{"Prompt lengths are estimated at 4 bytes a token; the server's own count replaces them."}
	if drawn < d.Requests {
		out = append(out, fmt.Sprintf("The file has %d fitting conversations, so they repeat to make %d requests.", drawn, d.Requests))
	}
	if skipped > 0 {
		out = append(out, fmt.Sprintf("%d of %d entries are no conversations and were passed over.", skipped, entries))
	}
	if err != nil {
		out = append(out, fmt.Sprintf("Read up to the damage only: %v.", err))
	}
	return out
}

// request is a conversation as a request, unless its lengths do not fit.
func (d ShareGPT) request(prompt, answer string) (Planned, bool) {
	in, out := estimate(prompt), estimate(answer)
	if d.Output > 0 {
		out = d.Output
	} else if out < 4 {
		return Planned{}, false
	}
	if in < 4 || in > 1024 || in+out > 2048 {
		return Planned{}, false
	}
	return Planned{Prompt: Prompt{Text: strings.Clone(prompt)}, PromptTokens: in, MaxTokens: out, Exact: true}, true
}

// estimate is about how many tokens a text has.
func estimate(s string) int { return (len(s) + 3) / 4 }

// eachConversation calls do with the first two turns of each entry that has them, and
// counts the entries and those that are no conversations. An entry may have most bytes,
// give or take what is read ahead. The error names the byte.
func eachConversation(r io.Reader, most int, do func(first, second string)) (entries, skipped int, err error) {
	limited := &entryReader{r: r, most: most, left: most}
	in := bufio.NewReader(limited)
	dec := json.NewDecoder(in)
	begin, _ := in.Peek(512) // a shorter file is no error
	array := !bytes.HasPrefix(bytes.TrimLeft(begin, " \t\r\n"), []byte("{"))
	if array {
		if t, err := dec.Token(); err != nil || t != json.Delim('[') {
			return 0, 0, errors.New("it begins with neither a JSON array nor an object")
		}
	}
	for dec.More() {
		var entry struct {
			Conversations []struct{ Value string }
		}
		err := dec.Decode(&entry)
		limited.left = most
		var shape *json.UnmarshalTypeError
		if err != nil && !errors.As(err, &shape) {
			return entries, skipped, fmt.Errorf("entry %d at byte %d: %w", entries, dec.InputOffset(), err)
		}
		entries++
		if err != nil || len(entry.Conversations) == 0 {
			skipped++
			continue
		}
		if c := entry.Conversations; len(c) > 1 {
			do(c[0].Value, c[1].Value)
		}
	}
	if _, err := dec.Token(); err != nil && (array || err != io.EOF) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return entries, skipped, fmt.Errorf("after entry %d at byte %d: %w", entries, dec.InputOffset(), err)
	}
	return entries, skipped, nil
}

// entryReader fails when an entry does not end for too long.
type entryReader struct {
	r          io.Reader
	most, left int
}

func (e *entryReader) Read(b []byte) (int, error) {
	if e.left <= 0 {
		return 0, fmt.Errorf("an entry is longer than %d bytes", e.most)
	}
	n, err := e.r.Read(b[:min(len(b), e.left)])
	e.left -= n
	return n, err
}
