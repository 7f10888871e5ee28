package rules

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"pgregory.net/rapid"
)

func TestMarkdownText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ markdown, want string }{
		{"", ""},
		{"plain", "plain"},
		{"**bold** and _em_ and `co\\de`", "bold and em and co\\de"},
		{"# Title\ntext", "Title\ntext"},
		{"Title\n===\ntext", "Title\ntext"},
		{"a\nb  \nc\\\nd", "a\nb\nc\nd"},
		{"a\n\nb\n\n---\n\nc", "a\nb\nc"},
		{"- a\n- b\n  - c\n\n1. d", "a\nb\nc\nd"},
		{"> a\n> > b", "a\nb"},
		{"```go\nx := 1\n\ny\n```\nz", "x := 1\n\ny\nz"},
		{"    indented\n      more", "indented\n  more"},
		{"[link](http://x \"title\") [ref][r] [r]\n\n[r]: http://y 'title'", "link ref r"},
		{"![alt *text*](http://x)", "alt text"},
		{"<https://x.example/a?b> <a@b.example>", "https://x.example/a?b a@b.example"},
		{"a <b>c</b> <!-- d --> e", "a c  e"},
		{"<div>\na\n</div>\n\nb", "b"},
		{"&amp; &lt;b&gt; &#65;&#x42; &eacute; &nosuch; & &amp", "& <b> AB é &nosuch; & &amp"},
		{`\* \& \\ \a`, `* & \ \a`},
		{"a\r\nb", "a\nb"},
		{"5 * 3 * 2 snake_case_name", "5 * 3 * 2 snake_case_name"},
	} {
		if got := strings.ReplaceAll(charsText(markdownChars(test.markdown)), "\r", ""); got != test.want {
			t.Errorf("%q: got %q, want %q", test.markdown, got, test.want)
		}
	}
}

func TestLongTextIsNotReadAsMarkdown(t *testing.T) {
	t.Parallel()
	if got := charsText(markdownChars(strings.Repeat("*a*", maxMarkdown/3))); strings.Contains(got, "*") {
		t.Error("a text within the bound is not read as Markdown")
	}
	long := strings.Repeat("[a](", maxMarkdown/4+1)
	if got := charsText(markdownChars(long)); got != long {
		t.Error("a text over the bound is read as Markdown")
	}
}

var markdownPieces = []string{
	"a", "b c", "é", "😀", " ", "  ", "\n", "\n\n", "*", "**", "_", "`", "``", "```\n", "# ", "> ", "- ", "1. ", "    ", "\t", "\\", "\\*", "&amp;", "&#65;", "&x;",
	"[", "](u)", "](<u v> \"t\")", "![", "<https://x.example>", "<a@b.example>", "<i>", "</i>", "<!-- c -->", "<div>\n", "---\n", "===\n", "[r]: /u\n", "[r]", "<", ">", "(", ")", "!", "|", "~~",
}

var (
	imageTag = regexp.MustCompile(`<img src="[^"]*" alt="([^"]*)"[^>]*>`)
	anyTag   = regexp.MustCompile(`<[^>]*>`)
)

// The text is what a reader sees of the page that CommonMark makes of it, and
// every character has its place in the source.
func TestMarkdownAgreesWithItsPage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		source := strings.Join(rapid.SliceOfN(rapid.SampledFrom(markdownPieces), 0, 20).Draw(t, "markdown"), "")
		if strings.Contains(source, "![") && strings.Contains(source, "<") {
			return // goldmark's page has no link in an alternative text, CommonMark's does
		}
		var page bytes.Buffer
		if err := goldmark.Convert([]byte(source), &page); err != nil {
			t.Fatal(err)
		}
		want := html.UnescapeString(anyTag.ReplaceAllString(imageTag.ReplaceAllString(page.String(), "$1"), ""))
		chars := markdownChars(source)
		if got := charsText(chars); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Fatalf("%q: text %q, page %q", source, got, want)
		}
		runes := []rune(source)
		last := 0
		for _, c := range chars {
			if c.start < last || c.end < c.start || c.end > len(runes) {
				t.Fatalf("%q: %q at %d to %d after %d", source, c.r, c.start, c.end, last)
			}
			last = c.start
			if c.end == c.start+1 && c.r != '\n' && runes[c.start] != c.r {
				t.Fatalf("%q: %q at %d, where %q is", source, c.r, c.start, runes[c.start])
			}
		}
	})
}
