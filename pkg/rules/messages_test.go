package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// unshown are messages that no file in testdata can show, and why.
var unshown = map[string]string{
	"the file has more than %d bytes (8 MiB); take words that are not used out of it":                                              "too large a file to keep; TestTooLarge",
	"up to this rule, lists are used with so many different options that they unfold to more than %d entries; use them with fewer": "too large a file to keep; TestListsAreShared",
	"the regexes up to this one are too large together; write them shorter (fewer and smaller {...} counts), or take some out":     "too many regexes to keep; TestRegexesAreBounded",
	"YAML cannot read this: ": "for errors of YAML that nobody has met",
	"; put the text in quotes, or check the indentation of this line and of the one above": "likewise",
	"this regex cannot be used: ": "for errors of Go that nobody has met",
	"; write it in another way":   "likewise",
}

// TestEveryMessageIsShown lists the messages in the source that no .want file
// shows. A message is the format of a fault or warning, or a text in a function
// that makes one.
func TestEveryMessageIsShown(t *testing.T) {
	t.Parallel()
	wants, err := filepath.Glob("testdata/*/*.want")
	if err != nil || len(wants) == 0 {
		t.Fatal("no files", err)
	}
	var shown strings.Builder
	for _, file := range wants {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(data)
	}
	messages := messagesInSource(t)
	if len(messages) < 100 {
		t.Fatalf("only %d messages found in the source", len(messages))
	}
	for message, at := range messages {
		pattern := regexp.QuoteMeta(message)
		pattern = regexp.MustCompile(`%[sdcqv]|%04X|%02x`).ReplaceAllString(pattern, ".*")
		found := regexp.MustCompile("(?m)" + pattern).MatchString(shown.String())
		switch _, known := unshown[message]; {
		case found && known:
			t.Errorf("%s: %q is shown; take it out of unshown", at, message)
		case !found && !known:
			t.Errorf("%s: no file in testdata shows %q", at, message)
		}
	}
	for message := range unshown {
		if messages[message].Filename == "" {
			t.Errorf("no message %q is left; take it out of unshown", message)
		}
	}
}

// makers are functions that put messages together; report are those that
// report one, with the number of the argument that is its format.
var (
	makers = map[string]bool{"explain": true, "explainOpen": true, "explainBlock": true, "regexFault": true, "impossible": true, "listHint": true}
	report = map[string]int{"fault": 1, "warn": 1, "say": 1, "fail": 1, "clash": 2}
)

func messagesInSource(t *testing.T) map[string]token.Position {
	files := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	messages := map[string]token.Position{}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			// What is short, or no more than a verb, is a part of a message.
			if len(text) > 12 && strings.Contains(text, " ") {
				messages[text] = files.Position(lit.Pos())
			}
		}
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				name := ""
				switch f := n.Fun.(type) {
				case *ast.SelectorExpr:
					name = f.Sel.Name
				case *ast.Ident:
					name = f.Name
				}
				if i, ok := report[name]; ok && len(n.Args) > i {
					add(n.Args[i])
				}
			case *ast.FuncDecl:
				if makers[n.Name.Name] {
					ast.Inspect(n, func(n ast.Node) bool {
						switch n := n.(type) {
						case *ast.CallExpr:
							// Errors of YAML, which are looked for or cut.
							if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "is" || f.Name == "len") {
								return false
							}
							if f, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(f.Sel.Name, "Trim") {
								return false
							}
						case ast.Expr:
							add(n)
						}
						return true
					})
				}
			}
			return true
		})
	}
	return messages
}
