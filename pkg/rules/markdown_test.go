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

// What honest texts have is read as Markdown; what is made to take the parser
// long is not.
func TestTextsThatAreReadAsMarkdown(t *testing.T) {
	t.Parallel()
	r := strings.Repeat
	for name, text := range map[string]string{
		"emphasis":     r("**Refund** *my* order_1! ", 450),
		"links":        r("See [our page of help](https://shop.example/help/with/orders?id=123456) for it.\n\n", 190),
		"a list":       r("- an entry\n\n  - one below\n    - and another\n", 350),
		"code":         "```\n" + r("\t\t\t\tif a[i] < b[i] { call(*p, x_y) }\n", 400) + "```",
		"quotes":       r("> > > what they wrote\n> and answered\n\n", 350),
		"line breaks":  "- one" + r("\n", 2000),
		"to the bound": r("*", maxMarkdown),
	} {
		if !readsQuickly(text[:min(len(text), maxMarkdown)]) {
			t.Errorf("%s: not read as Markdown", name)
		}
	}
	for name, text := range map[string]string{
		"long":            r("a", maxMarkdown+1),
		"brackets":        r("[", 16<<10),
		"targets":         r("[a](", 4<<10),
		"emphasis":        r("*a_ ", 4<<10),
		"tags":            r("<a", 8<<10),
		"quotes":          r("> ", 8<<10),
		"numbers":         r("1. ", 3000) + r("\n", 7000),
		"lists":           r("* ", 300) + "a",
		"lists by lines":  r("- a\n  - ", 189) + r("\n", 15_000),
		"deep with tabs":  "- a\n" + r("\t", 60) + "- b",
		"carriage return": r("- ", 20) + "a" + r("\r", 1000),
	} {
		if readsQuickly(text) {
			t.Errorf("%s: read as Markdown", name)
		}
		if got := charsText(markdownChars(text)); got != text {
			t.Errorf("%s: not searched as it is written", name)
		}
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
