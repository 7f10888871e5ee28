// Command bench measures how fast the rules find their terms in chats, beside
// other ways to do it, and prints a table. It has a module of its own so that
// the libraries which it compares with are no dependencies of the product.
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

type config struct {
	sizes     []int
	languages []string
	text      int           // bytes of text for each language
	rounds    int           // the median of which counts
	each      time.Duration // at least, for each competitor in a round
	check     time.Duration // for each competitor, to count what it finds, and for the comparison with the reference
}

var allLanguages = []string{"English", "German", "Polish", "Japanese", "mixed"}

func main() {
	sizes := flag.String("sizes", "100,1000,10000,100000", "numbers of terms")
	langs := flag.String("languages", strings.Join(allLanguages, ","), "languages of the text")
	c := config{check: 300 * time.Millisecond}
	flag.IntVar(&c.text, "text", 400_000, "bytes of text for each language")
	flag.IntVar(&c.rounds, "rounds", 5, "repetitions, of which the median counts")
	flag.DurationVar(&c.each, "each", 40*time.Millisecond, "how long each repetition is at least")
	flag.Parse()
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "bench: -sizes: %q is no number of terms\n", s)
			os.Exit(2)
		}
		c.sizes = append(c.sizes, n)
	}
	c.languages = strings.Split(*langs, ",")
	if err := run(c, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

var names = []string{"ours", "petar", "bobu", "contains", "regexp"}

// A cell is what was measured of one text with one number of terms.
type cell struct {
	language string
	terms    int
	speed    []float64 // bytes per second, by competitor
	found    []float64 // share of the planted terms, by competitor
	density  float64   // words of the text for each term that ours found
	compiled compiled
}

// compiled is what a set of ours costs.
type compiled struct {
	file           int // bytes
	parse, compile time.Duration
	rulesHeap      int64 // kept by the rules as they were read
	compiledHeap   int64 // kept by what they are compiled to
	allocated      int64 // while they were compiled
}

func run(c config, out io.Writer) error {
	// Whatever the garbage collector does counts too.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	fmt.Fprintf(out, `Terms found in chats: MB of text as sent (UTF-8) per second of one core, folding included; one goroutine,
GOMAXPROCS 1, time of the processor and not of the clock, the garbage collector's too. The median of %d rounds of %v
or more, in which the competitors take turns.

%s
ours      rules.Set.Match, with evidence
petar     github.com/petar-dambovaliev/aho-corasick, overlapping matches; as a DFA up to %d terms, beyond as an NFA
bobu      github.com/BobuSumisu/aho-corasick
          Both look in folded text and check the edges of each match. Their folding: one pass, by a table of code
          points: NFKD without accents, folded case, straight quotes, runs of blanks and dashes as one blank. It keeps
          no offsets into the text, and knows nothing of emoji, joined numbers or apostrophes.
contains  strings.Contains for each term on the text folded like that, and a check of the edges
regexp    one regular expression per rule on the text as written, without case; accents are not folded, so it finds less.
          With more than %d rules only so many are tried, and the time is multiplied (~).

`, c.rounds, c.each, howMade, maxDFA, maxRegexps)

	f := newFolder()
	langs := languages()
	most := slices.Max(c.sizes)
	termsOf := make(map[string][]string)
	var mixed []*corpus // its filler, which no language's terms may stand in
	fillers := map[string]*corpus{}
	for _, l := range langs {
		fillers[l.name] = write(l.name, []*language{l}, nil, c.text)
	}
	mixed = append(mixed, write("mixed", langs, nil, c.text))
	for _, l := range langs {
		termsOf[l.name] = l.terms(most, f, slices.Concat(fillers[l.name].chats, mixed[0].chats))
	}
	for i := range most {
		termsOf["mixed"] = append(termsOf["mixed"], termsOf[langs[i%len(langs)].name][i/len(langs)])
	}

	fmt.Fprintf(out, "%-9s %7s ", "text", "terms")
	for _, n := range names {
		fmt.Fprintf(out, "%10s", n)
	}
	fmt.Fprintf(out, "   %s   %s\n", "words/find", "found of the planted terms, in %: "+strings.Join(names, " "))
	var cells []cell
	for _, name := range c.languages {
		i := slices.IndexFunc(langs, func(l *language) bool { return l.name == name })
		of := langs
		if i >= 0 {
			of = langs[i : i+1]
		} else if name != "mixed" {
			return fmt.Errorf("no language %q: there are %s", name, strings.Join(allLanguages, ", "))
		}
		for _, n := range c.sizes {
			text := write(name, of, termsOf[name][:n], c.text)
			if err := text.check(); err != nil {
				return err
			}
			cell, err := measure(c, f, name, text)
			if err != nil {
				return err
			}
			cells = append(cells, cell)
			cell.print(out)
		}
	}
	printCompiled(out, cells)
	printVerdict(out, cells)
	return nil
}

// cpuTime is what the program has used of a core. Other than the time of day
// it is about the same on a machine that is busy with something else.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// maxDFA is how many terms petar's library makes a DFA of here: with more
// it takes minutes and gigabytes.
const maxDFA = 1000

func measure(c config, f *folder, name string, text *corpus) (cell, error) {
	result := cell{language: name, terms: len(text.terms)}
	set, costs, err := compile(text.terms)
	if err != nil {
		return cell{}, err
	}
	result.compiled = costs
	if err := crossCheck(c, set, text); err != nil {
		return cell{}, fmt.Errorf("%s, %d terms: %w", name, len(text.terms), err)
	}
	re := newRegexps(f, text.terms)
	competitors := []competitor{
		ours{set},
		newPetar(f, text.terms, len(text.terms) <= maxDFA),
		newBobu(f, text.terms),
		&containsLoop{newLookup(f, text.terms)},
		re,
	}
	for _, m := range competitors {
		found, planted := 0, 0
		start := cpuTime()
		for j, t := range text.chats {
			found += m.match(t)
			if m == competitor(re) {
				planted += text.byRule[j]
			} else {
				planted += text.planted[j]
			}
			if cpuTime()-start > c.check {
				break
			}
		}
		share := float64(found) / float64(planted)
		result.found = append(result.found, share)
	}
	// What was looked at may be a part only.
	result.density = float64(text.words) / (float64(text.plants) * result.found[0])
	rates := make([][]float64, len(competitors))
	next := make([]int, len(competitors))
	runtime.GC()
	for range c.rounds {
		for i, m := range competitors {
			var took time.Duration
			bytes := 0
			// To look at the clock costs as much as to match some words, and on
			// some machines as much as a whole chat: looks are far apart.
			start, before := cpuTime(), time.Duration(0)
			for batch := 1; took < c.each; {
				for range batch {
					m.match(text.chats[next[i]])
					bytes += text.bytes[next[i]]
					next[i] = (next[i] + 1) % len(text.chats)
				}
				before, took = took, cpuTime()-start
				if took-before < c.each/20 {
					batch *= 2
				}
			}
			rates[i] = append(rates[i], float64(bytes)/took.Seconds())
		}
	}
	for i := range rates {
		slices.Sort(rates[i])
		result.speed = append(result.speed, rates[i][len(rates[i])/2])
	}
	result.speed[4] *= float64(len(re.rules)) / float64(re.of)
	return result, nil
}

// compile reads and compiles the terms, and measures both.
func compile(terms []string) (*rules.Set, compiled, error) {
	file := rulesFile(terms)
	costs := compiled{file: len(file)}
	var before, read, done, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what is in a sync.Pool goes with the second
	runtime.ReadMemStats(&before)
	start := cpuTime()
	set, problems := rules.Parse("rules.yaml", file)
	costs.parse = cpuTime() - start
	if problems.Failed() {
		return nil, costs, fmt.Errorf("the rules that were made are at fault: %v", problems[0])
	}
	problems = nil
	runtime.GC()
	runtime.ReadMemStats(&read)
	start = cpuTime()
	set.Match(&transcript.Transcript{Complete: true}) // the first match compiles
	costs.compile = cpuTime() - start
	runtime.ReadMemStats(&done)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(file)
	costs.rulesHeap = int64(read.HeapAlloc) - int64(before.HeapAlloc)
	costs.compiledHeap = int64(after.HeapAlloc) - int64(read.HeapAlloc)
	costs.allocated = int64(done.TotalAlloc - read.TotalAlloc)
	return set, costs, nil
}

// crossCheck compares Match with the reference on a sample: for some time, but
// at least one transcript.
func crossCheck(c config, set *rules.Set, text *corpus) error {
	start := cpuTime()
	for i := 0; i < len(text.chats); i++ {
		got, want := set.Match(text.chats[i]), set.MatchReference(text.chats[i])
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("transcript %d: Match and MatchReference differ:\n%+v\n%+v", i, got, want)
		}
		if cpuTime()-start > c.check {
			break
		}
	}
	return nil
}

func (c cell) best() float64 { return max(c.speed[1], c.speed[2]) }

func (c cell) print(out io.Writer) {
	fmt.Fprintf(out, "%-9s %7d ", c.language, c.terms)
	for i, s := range c.speed {
		value := megabytes(s)
		if i == 4 && c.terms > maxRegexps*perRule {
			value = "~" + value
		}
		fmt.Fprintf(out, "%10s", value)
	}
	fmt.Fprintf(out, "   %10.0f  ", c.density)
	for _, f := range c.found {
		if math.IsNaN(f) || math.IsInf(f, 0) { // of none
			fmt.Fprintf(out, "%5s", "-")
		} else {
			fmt.Fprintf(out, "%5.0f", 100*f)
		}
	}
	fmt.Fprintln(out)
}

// megabytes gives three digits that count.
func megabytes(bytes float64) string {
	mb := bytes / 1e6
	switch {
	case mb >= 100:
		return fmt.Sprintf("%.0f", mb)
	case mb >= 10:
		return fmt.Sprintf("%.1f", mb)
	case mb >= 1:
		return fmt.Sprintf("%.2f", mb)
	}
	return fmt.Sprintf("%.2g", mb)
}

func printCompiled(out io.Writer, cells []cell) {
	fmt.Fprintf(out, "\nWhat a set of ours costs (its first match compiles it):\n%-9s %7s %10s %10s %10s %12s %14s %14s\n",
		"text", "terms", "file", "read", "compiled", "heap: rules", "heap: matcher", "allocated")
	for _, c := range cells {
		k := c.compiled
		fmt.Fprintf(out, "%-9s %7d %10s %10s %10s %12s %14s %14s\n", c.language, c.terms,
			size(int64(k.file)), milliseconds(k.parse), milliseconds(k.compile), size(k.rulesHeap), size(k.compiledHeap), size(k.allocated))
	}
}

func size(bytes int64) string {
	if bytes < 100_000 && bytes > -100_000 {
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }

// printVerdict says of each goal whether it is met. It judges this machine at
// this moment, so nothing fails by it.
func printVerdict(out io.Writer, cells []cell) {
	fmt.Fprintln(out, "\nGoals:")
	verdict := func(met bool, format string, args ...any) {
		word := "NOT MET"
		if met {
			word = "met"
		}
		fmt.Fprintf(out, "  %-8s %s\n", word, fmt.Sprintf(format, args...))
	}
	find := func(language string, terms int) (cell, bool) {
		i := slices.IndexFunc(cells, func(c cell) bool { return c.language == language && c.terms == terms })
		if i < 0 {
			return cell{}, false
		}
		return cells[i], true
	}
	if c, ok := find("English", 10_000); ok {
		verdict(c.speed[0] >= 150e6, "at least 150 MB/s at 10,000 terms on English: %s MB/s", megabytes(c.speed[0]))
	}
	for _, l := range allLanguages {
		var speeds []float64
		for _, c := range cells {
			if c.language == l && c.terms >= 100 && c.terms <= 100_000 {
				speeds = append(speeds, c.speed[0])
			}
		}
		if _, whole := find(l, 100_000); whole && len(speeds) > 1 {
			ratio := slices.Max(speeds) / slices.Min(speeds)
			verdict(ratio <= 1.3, "within 1.3 times from 100 to 100,000 terms on %s: %.2f times", l, ratio)
		}
	}
	for _, l := range allLanguages {
		if c, ok := find(l, 10_000); ok {
			verdict(c.speed[0] >= c.best(), "at least the best library at 10,000 terms on %s: %s and %s MB/s", l, megabytes(c.speed[0]), megabytes(c.best()))
		}
	}
	for _, l := range allLanguages {
		if c, ok := find(l, 100_000); ok {
			k := c.compiled
			verdict(k.compile < time.Second && k.compiledHeap < 100e6, "100,000 terms (%s) compiled in under 1 s and 100 MB: %s, %s kept, %s with the rules as read",
				l, milliseconds(k.compile), size(k.compiledHeap), size(k.compiledHeap+k.rulesHeap))
		}
	}
}
