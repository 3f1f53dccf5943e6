package trace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tokprof/trace/internal/nsys"
)

// isReport says whether a name is that of an Nsight Systems report, whose
// bytes only nsys reads.
func isReport(path string) bool {
	return strings.HasSuffix(path, ".nsys-rep") || strings.HasSuffix(path, ".qdrep")
}

// openReport has nsys export a report, and reads what it wrote.
func openReport(ctx context.Context, path string, o Options) ([]*Trace, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, openError(path, err)
	case st.Size() == 0:
		return nil, &Error{Path: path, Offset: -1, What: "is empty (0 bytes)", Hint: "nsys has not written it yet, or the copy failed"}
	}
	command := "nsys export --type sqlite " + BaseName(path)
	tool, err := exec.LookPath(cmp.Or(o.NsysPath, "nsys"))
	if err != nil {
		what, hint := "nsys is not on PATH", "give its place with --nsys PATH, or run `"+command+"` where it is installed and give the .sqlite"
		if o.NsysPath != "" && o.NsysPath != "nsys" {
			what, hint = "there is no program "+o.NsysPath, "run `"+command+"` where nsys is installed and give the .sqlite"
		}
		return nil, &Error{Path: path, Offset: -1, What: "is an Nsight Systems report, which only nsys can read, and " + what, Hint: hint, Err: err}
	}
	dir, err := os.MkdirTemp("", "tokprof-")
	if err != nil {
		return nil, &Error{Path: path, Offset: -1, What: "must be exported, and no temporary directory can be made", Hint: "set TMPDIR to a directory that can be written", Err: err}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	to := filepath.Join(dir, strings.TrimSuffix(strings.TrimSuffix(BaseName(path), ".nsys-rep"), ".qdrep")+".sqlite")
	cmd := exec.CommandContext(ctx, tool, "export", "--type", "sqlite", "--force-overwrite", "true", "--output", to, path)
	cmd.WaitDelay = 5 * time.Second // for what nsys started itself
	// What nsys prints may hold the report's private texts: it goes nowhere.
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		_, err = os.Stat(to)
	}
	if err != nil {
		var exit *exec.ExitError
		what := "could not be exported by " + BaseName(tool) // directories stay on the machine
		if errors.As(err, &exit) {
			what += " (" + exit.ProcessState.String() + ")"
		}
		return nil, &Error{Path: path, Offset: -1, What: what, Hint: "see what `" + command + "` says; a newer nsys reads older reports", Err: err}
	}
	all, err := OpenAll(ctx, to, Options{})
	for _, t := range all {
		t.Info.Path, t.Info.Name = path, BaseName(path)
		t.Info.Format, t.Info.FileBytes = "nsys-rep", st.Size()
	}
	if o.Hash && len(all) > 0 {
		hash, err := reportHash(ctx, path)
		if err != nil {
			return nil, err
		}
		all[0].Info.SHA256 = hash
	}
	var bad *Error
	if errors.As(err, &bad) {
		bad.Path = path
	}
	return all, err
}

// reportHash is the SHA-256 of a report, in hexadecimal: what nsys exports of it
// is no file of anybody's.
func reportHash(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", openError(path, err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, nsys.Patient(ctx, f)); err != nil {
		return "", exportError(ctx, path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
