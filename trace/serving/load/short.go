package load

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokprof/trace/serving"
)

// exact says whether a request's length was asked for in a way that binds the server:
// an answer that is shorter is then a loss, whatever the model would have said.
func (l *load) exact(p *Planned) bool {
	return p.Exact && Fields(l.fields.Load())&(MinTokens|IgnoreEOS) != 0
}

// cutShort says whether an answer ended in good order, without a reason, and without
// the tokens that the server was bound to send: lost between here and the engine. One
// whose tokens nobody counted says nothing.
func (l *load) cutShort(p *Planned, row *serving.Request) bool {
	return row.Finish == "" && l.exact(p) && row.Answered() > 0 && row.Answered() < p.MaxTokens
}

// short says whether an answer ended before the length that was asked for. One that the
// server ended at its limit without counting tokens is not: its chunks may hold several.
func short(r *serving.Request) bool {
	return r.Answered() < r.MaxTokens && (r.Finish != "length" || r.CompletionTokens > 0)
}

// shortNote counts the answers that ended early though their length was asked exactly,
// by what the server said; "" when none did. planned are the requests of rows.
func (l *load) shortNote(window string, rows []serving.Request, planned []Planned) string {
	ended, of := map[string]int{}, 0
	for i := range rows {
		r := &rows[i]
		early := r.Error == errEarlyEnd.Error()
		if !planned[i].Exact || r.Failed() && !early {
			continue
		}
		of++
		switch {
		case r.Finish == "" && (early || short(r)):
			ended["a stream that ended without a reason"]++
		case short(r):
			ended[l.finishWords(r.Finish)]++
		}
	}
	if len(ended) == 0 {
		return ""
	}
	var parts []string
	n := 0
	for _, why := range slices.SortedFunc(maps.Keys(ended), func(a, b string) int {
		return cmp.Or(cmp.Compare(ended[b], ended[a]), cmp.Compare(a, b))
	}) {
		parts = append(parts, fmt.Sprintf("%d by %s", ended[why], why))
		n += ended[why]
	}
	const most = 4
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("others by %d more reasons", len(parts)-most))
	}
	return fmt.Sprintf("window %s: %d of %d answers ended before the length asked for: %s", window, n, of, strings.Join(parts, ", "))
}

// finishWords are a server's own word for why an answer ended, and what follows from it.
func (l *load) finishWords(finish string) string {
	words := fmt.Sprintf("finish_reason %q", clip(l.secrets.Hide(finish), 40))
	switch {
	case finish != "stop":
	case Fields(l.fields.Load())&IgnoreEOS != 0:
		words += " (the server does not keep to ignore_eos)"
	default:
		words += " (the model's own end: this server was not asked to ignore it)"
	}
	return words
}
