package compose

import "tokprof/report/document"

// servers writes down which servers the window was recorded of.
func (b *builder) servers() {
	if b.run == nil {
		return
	}
	for _, s := range b.run.Servers {
		s.Model = document.ModelName(s.Model)
		b.a.Servers = append(b.a.Servers, s)
	}
}
