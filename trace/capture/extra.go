package capture

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"

	"tokprof/trace/serving"
)

// WriteExtra writes one more file into a bundle's folder; what failed comes back
// as a note.
func WriteExtra(dir, name string, text []byte) (notes []string) {
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
		return []string{fmt.Sprintf("%s could not be written: %v", name, withoutPath(err))}
	}
	return nil
}

// maxConfig bounds a model's config.json.
const maxConfig = 4 << 20

// modelConfig reads the config.json of a model that a server on this machine
// serves from a folder; nil when there is none.
func modelConfig(s *serving.Server) []byte {
	if !Loopback(s.URL()) || len(s.Facts.Models) == 0 {
		return nil
	}
	root := s.Facts.Models[0].Root
	if p, ok := LocalProcess(s.URL()); ok && root != "" && !filepath.IsAbs(root) {
		root = filepath.Join(p.Dir, root)
	}
	f, err := os.Open(filepath.Join(root, ModelName))
	if err != nil || root == "" {
		return nil
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil || !json.Valid(text) {
		return nil
	}
	return text
}

// Layers is the number of layers of the model that a local server serves from a
// folder, 0 when unknown.
func Layers(s *serving.Server) int {
	var c struct {
		Layers int `json:"num_hidden_layers"`
		Text   struct {
			Layers int `json:"num_hidden_layers"`
		} `json:"text_config"`
	}
	if text := modelConfig(s); text == nil || json.Unmarshal(text, &c) != nil {
		return 0
	}
	return max(c.Layers, c.Text.Layers)
}

// CopyModelConfig puts the served model's config.json into a bundle where it can
// be read: with it the work of every role is known.
func CopyModelConfig(dir string, s *serving.Server) (notes []string) {
	if text := modelConfig(s); text != nil {
		return WriteExtra(dir, ModelName, text)
	}
	return nil
}

// LogTail is a server's log, from the moment at which a capture began.
type LogTail struct {
	path string
	from int64
}

// maxTail bounds what a bundle keeps of a log.
const maxTail = 16 << 20

// OpenLogTail notes where a log ends now.
func OpenLogTail(path string) (*LogTail, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the server's log %s cannot be read: %w", path, err)
	}
	return &LogTail{path, st.Size()}, nil
}

// WriteInto copies what the log has grown by into a bundle, private things left
// out. A log that was turned over is copied from its start.
func (l *LogTail) WriteInto(dir string) (notes []string) {
	err := l.copy(filepath.Join(dir, LogName))
	if err != nil {
		return []string{fmt.Sprintf("the server's log is missing: %v", withoutPath(err))}
	}
	return nil
}

// privateWords are this host's and this user's names, which no pattern knows.
func privateWords() (words []string) {
	if host, err := os.Hostname(); err == nil {
		words = append(words, host)
	}
	if u, err := user.Current(); err == nil {
		words = append(words, u.Username)
	}
	return words
}

func (l *LogTail) copy(to string) error {
	in, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	from := l.from
	if st.Size() < from {
		from = 0
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	scrub := serving.NewScrubber(out, privateWords()...)
	_, err = io.Copy(scrub, io.NewSectionReader(in, from, min(st.Size()-from, maxTail)))
	for _, e := range []error{scrub.Close(), out.Close()} {
		if err == nil {
			err = e
		}
	}
	return err
}
