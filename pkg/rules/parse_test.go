package rules

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the .want files anew")

// TestFiles compares the problems of every file in testdata with its .want
// file. Files in bad are refused, files in warn and good are not, and files in
// good have no .want, since nothing is said about them. The files named
// *_test.yaml are tests, for the rules in testdata/tests.yaml.
func TestFiles(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/tests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, ps := Parse("tests.yaml", data)
	if set == nil {
		t.Fatal(ps)
	}
	files, err := filepath.Glob("testdata/*/*.*")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		folder, name := filepath.Base(filepath.Dir(file)), filepath.Base(file)
		if folder == "fuzz" || folder == "language" || strings.HasSuffix(name, ".want") {
			continue
		}
		t.Run(folder+"/"+name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var ps Problems
			var usable bool
			if strings.HasSuffix(name, "_test.yaml") {
				var tests *Tests
				tests, ps = ParseTests(name, data, set)
				usable = tests != nil
			} else {
				var set *Set
				set, ps = Parse(name, data)
				usable = set != nil
			}
			if refused := folder == "bad"; usable == refused || ps.Failed() != refused {
				t.Errorf("usable: %v, failed: %v\n%s", usable, ps.Failed(), ps)
			}
			want := file + ".want"
			if folder == "good" {
				if len(ps) > 0 {
					t.Errorf("problems:\n%s", ps)
				}
				return
			}
			got := ps.String()
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			wanted, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(wanted), got); diff != "" {
				t.Errorf("problems differ (-want +got):\n%s", diff)
			}
		})
	}
}
