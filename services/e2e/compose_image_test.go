//go:build compose && unix

package e2e

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imageLimit is how large an image of what runs all the time may be,
// compressed, in bytes.
const imageLimit = 15_000_000

// image is what docker save tells of one.
type image struct {
	config []byte
	layers [][]imageFile // from the base upwards
}

// imageFile is a file, or whatever else has a name, of a layer.
type imageFile struct {
	name string // without a slash before it
	kind byte   // as in tar.Header
	text []byte
}

// save writes an image to a file and gives its size when compressed.
func (s *stack) save(t *testing.T, ref string) (file string, size int64) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "image.tar")
	if out, err := exec.CommandContext(s.ctx, "docker", "save", "--output", file, ref).CombinedOutput(); err != nil {
		t.Fatalf("docker save %s: %v\n%s", ref, err, out)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var counted counter
	zip := gzip.NewWriter(&counted)
	if _, err := io.Copy(zip, in); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return file, int64(counted)
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

// readImage reads what docker save has written. A layer lies in it as a tar
// file, compressed or not.
func readImage(t *testing.T, file string) image {
	t.Helper()
	parts := map[string][]byte{}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, f := range readTar(t, in) {
		parts[f.name] = f.text
	}
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(parts["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("manifest.json of docker save: %v: %s", err, parts["manifest.json"])
	}
	out := image{config: parts[manifest[0].Config]}
	for _, name := range manifest[0].Layers {
		layer, ok := parts[name]
		if !ok {
			t.Fatalf("docker save has no layer %s", name)
		}
		text := bufio.NewReader(bytes.NewReader(layer))
		var plain io.Reader = text
		if magic, err := text.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
			if plain, err = gzip.NewReader(text); err != nil {
				t.Fatal(err)
			}
		}
		out.layers = append(out.layers, readTar(t, plain))
	}
	return out
}

func readTar(t *testing.T, in io.Reader) []imageFile {
	t.Helper()
	var out []imageFile
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, imageFile{strings.TrimPrefix(path.Clean("/"+h.Name), "/"), h.Typeflag, text})
	}
}

// An image holds one program and what it needs to speak TLS and to know the
// time: nothing that could be run beside it, no source, no setting, no secret.
func (s *stack) testImage(t *testing.T, program string, limit int64) {
	file, size := s.save(t, "autotag/"+program+":"+s.version)
	t.Logf("%s: %.1f MB compressed", program, float64(size)/1e6)
	if limit > 0 && size > limit {
		t.Errorf("the image of %s has %d bytes compressed, more than %d", program, size, limit)
	}
	image := readImage(t, file)

	var programs, names []string
	needed := map[string]bool{"etc/ssl/certs/ca-certificates.crt": false, "usr/share/zoneinfo/Europe/Berlin": false, "etc/passwd": false}
	for _, layer := range image.layers {
		for _, f := range layer {
			if f.kind == tar.TypeDir {
				continue
			}
			if _, ok := needed[f.name]; ok {
				needed[f.name] = true
			}
			if bytes.HasPrefix(f.text, []byte("\x7fELF")) {
				programs = append(programs, f.name)
			}
			if slices.Contains([]string{"sh", "bash", "dash", "ash", "busybox", "go", "apt", "dpkg", "su", "mount"}, path.Base(f.name)) ||
				slices.Contains([]string{".go", ".mod", ".sum", ".yaml", ".yml", ".env"}, path.Ext(f.name)) {
				t.Errorf("%s has no place in the image of %s", f.name, program)
			}
			for _, c := range s.canaries() {
				if bytes.Contains(f.text, []byte(c)) {
					t.Errorf("%s in the image of %s holds a secret", f.name, program)
				}
			}
			if f.kind != tar.TypeSymlink { // such as bin in a base whose programs lie in usr/bin
				names = append(names, f.name)
			}
		}
	}
	if !slices.Equal(programs, []string{program}) {
		t.Errorf("the image of %s holds the programs %v", program, programs)
	}
	for name, there := range needed {
		if !there {
			t.Errorf("the image of %s has no %s", program, name)
		}
	}
	for _, name := range names {
		ok := name == program
		for _, folder := range []string{"etc/", "usr/share/", "usr/lib/os-release", "var/lib/dpkg/", "home/", "root/", "tmp/"} {
			ok = ok || strings.HasPrefix(name, folder)
		}
		if !ok {
			t.Errorf("%s in the image of %s belongs neither to it nor to the base", name, program)
		}
	}
	// What our own build adds to the base is the program alone.
	var added []string
	for _, f := range image.layers[len(image.layers)-1] {
		added = append(added, f.name)
	}
	if !slices.Equal(added, []string{program}) {
		t.Errorf("the last layer of %s holds %v", program, added)
	}
	// The looking finds what is there.
	last := image.layers[len(image.layers)-1]
	if !bytes.Contains(last[len(last)-1].text, []byte("autotag/services/"+program)) {
		t.Errorf("nothing of its source is named in %s", program)
	}
	if !bytes.Contains(image.config, []byte("/"+program)) {
		t.Errorf("the image's configuration names no %s: %s", program, image.config)
	}
	for _, c := range s.canaries() {
		if bytes.Contains(image.config, []byte(c)) {
			t.Errorf("the configuration of the image of %s holds a secret", program)
		}
	}
}
