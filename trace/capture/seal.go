package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// NotSealed is what kept a capture from writing its manifest: the folder is no bundle.
type NotSealed struct{ Err error }

func (e NotSealed) Error() string {
	return fmt.Sprintf("its manifest is missing: %v", e.Err)
}

// Unwrap returns the cause.
func (e NotSealed) Unwrap() error { return e.Err }

// Seal lists every file of the bundle with its hash and writes the manifest. It
// is the last thing done to a bundle, and may be done again after files were
// added.
func (b *Bundle) Seal() error {
	files, err := hashAll(b.Dir)
	if err != nil {
		return err
	}
	for _, f := range b.Files {
		here := slices.ContainsFunc(files, func(o File) bool { return o.Path == f.Path })
		if f.Elsewhere && !here {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	b.Schema, b.Files = Schema, files
	if b.Notes == nil {
		b.Notes = []string{}
	}
	text, err := json.MarshalIndent(b.Manifest, "", " ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(b.Dir, ManifestName), append(text, '\n'))
}

// writeWhole writes a file beside its place and moves it there, so that a reader
// never sees half of it.
func writeWhole(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	_, err = f.Write(text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return nil
}

func hashAll(dir string) ([]File, error) {
	files := []File{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil || !d.Type().IsRegular() || rel == ManifestName || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		n, sum, err := hashFile(p)
		files = append(files, File{Path: filepath.ToSlash(rel), Kind: kindOf(rel), Bytes: n, SHA256: sum})
		return err
	})
	return files, err
}

func hashFile(path string) (n int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err = io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// Damage is one way in which a bundle is not what its manifest says.
type Damage struct {
	Path string
	What string
}

// VerifyFiles compares every file with the manifest: changed, missing and added
// ones. Traces that were left elsewhere are compared where elsewhere holds their
// paths. It says nothing about bundles of other recorders, which have no hashes.
func (b *Bundle) VerifyFiles(elsewhere ...string) ([]Damage, error) {
	if !b.Own() {
		return nil, fmt.Errorf("%s has no hashes: another recorder wrote it", b.Dir)
	}
	files, err := hashAll(b.Dir)
	if err != nil {
		return nil, err
	}
	for _, p := range elsewhere {
		n, sum, err := hashFile(p)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: b.nameOf(p, sum), Bytes: n, SHA256: sum})
	}
	here := map[string]File{}
	for _, f := range files {
		here[f.Path] = f
	}
	var bad []Damage
	for _, want := range b.Files {
		got, ok := here[want.Path]
		delete(here, want.Path)
		switch {
		case !ok && want.Elsewhere:
		case !ok:
			bad = append(bad, Damage{want.Path, "is missing"})
		case got.SHA256 != want.SHA256 && got.Bytes != want.Bytes:
			bad = append(bad, Damage{want.Path, fmt.Sprintf("has %d bytes, the manifest says %d", got.Bytes, want.Bytes)})
		case got.SHA256 != want.SHA256:
			bad = append(bad, Damage{want.Path, "has other contents than the manifest's hash says"})
		}
	}
	for p := range here {
		bad = append(bad, Damage{p, "is not in the manifest"})
	}
	slices.SortFunc(bad, func(x, y Damage) int { return strings.Compare(x.Path, y.Path) })
	return bad, nil
}

// nameOf is a trace's path in the bundle, for one that stayed elsewhere and goes
// by its hash or its name there.
func (b *Bundle) nameOf(file, sha256 string) string {
	for _, same := range []func(File) bool{
		func(f File) bool { return f.SHA256 == sha256 },
		func(f File) bool { return path.Base(f.Path) == publicName(filepath.Base(file)) },
	} {
		if i := slices.IndexFunc(b.Files, func(f File) bool { return f.Elsewhere && same(f) }); i >= 0 {
			return b.Files[i].Path
		}
	}
	return filepath.Base(file)
}
