package rules

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

// An index finds the literals, words and substrings of all rules that have the
// same options, in one pass over a stream. What a place of the text costs hardly
// depends on how many there are: what stands there is looked up by a hash, and
// nearly every look ends at a bit that is not set. Terms that begin alike are
// sorted, not tried one by one.
type index struct {
	words    table      // by all of the first word
	pairs    table      // by all of the first word, of the second and what is between
	prefixes table      // those whose first word is open, by up to maxPrefix bytes of it
	lengths  lengths    // of the prefixes
	unspaced gramTables // that begin with a letter of a script not spaced by words
	signs    gramTables // that begin with a sign or a dash
	anywhere gramTables // substrings
	entries  []entry    // of all tables
	keys     []byte     // of the entries
	more     []moreOf   // of some entries
}

const maxPrefix = 16

// maxBetween is how many bytes may be between the words of a pair: a blank, or an
// apostrophe, letters or digits, and a blank, as in don't know and we're here.
const maxBetween = 5

// grams are the numbers of bytes by which terms that do not begin with a word of
// a spaced script are looked up: each by the most that it has. Six bytes are two
// letters of most scripts of Asia.
var grams = [...]int{6, 3, 1}

type gramTables [len(grams)]table

func (t *gramTables) empty() bool { return t[0].empty() && t[1].empty() && t[2].empty() }

// A shape is a term as the index takes it: the keys of its units, cut where a
// wildcard stands for the rest of a word.
type shape struct {
	leaf  int32
	parts []part
	open  bool   // it ends with a wildcard
	in    lookup // the table that it is in
	by    string // the bytes by which it is looked up there
	first int    // for byPair: the bytes of the first word
}

type part struct {
	key      string // as appendKey writes it
	asksEnd  bool   // a word must end after it
	extended bool   // in a text, its last letter may bear further signs
}

// A lookup names a table of an index.
type lookup uint8

const (
	byWord lookup = iota
	byPair
	byPrefix
	byUnspaced
	bySign
	byAnywhere
)

// newShape gives the shape of a pattern that has units.
func newShape(leaf int32, p pattern) shape {
	last := p.units[len(p.units)-1]
	s := shape{leaf: leaf, open: last.wildcard}
	word, inWord := 0, true      // bytes of the first word
	second, inSecond := 0, false // the same of a second one
	between := false             // what may stand between the two
	var key []byte
	for i, u := range p.units {
		if u.wildcard {
			s.parts = append(s.parts, part{key: string(key), extended: p.units[i-1].bearsLetters()})
			key = key[:0]
			inWord, inSecond, between = false, false, false
			continue
		}
		key = appendKey(key, u.key)
		spaced := (u.kind == letter || u.kind == digit) && !u.unspaced
		switch {
		case spaced && inWord:
			word = len(key)
		case spaced && inSecond:
			second = len(key)
		case spaced && between:
		case u.kind == blank && word > 0 && (inWord || between) && len(key)-word <= maxBetween:
			inWord, between, inSecond = false, false, true
		default:
			between = inWord && word > 0 && u.key == "'"
			inWord, inSecond = false, false
		}
	}
	if !s.open {
		s.parts = append(s.parts, part{key: string(key), asksEnd: p.edges && last.inWord(), extended: !p.edges && last.bearsLetters()})
	}
	start := s.parts[0].key
	switch {
	case !p.edges:
		s.in = byAnywhere
	case word == len(start) && (s.open || len(s.parts) > 1):
		s.in, s.by = byPrefix, start[:min(len(start), maxPrefix)]
	case word > 0:
		s.in, s.by = byWord, start[:word]
		if second > 0 && (second < len(start) || s.parts[0].asksEnd) {
			s.in, s.by, s.first = byPair, start[:second], word
		}
	case p.units[0].unspaced:
		s.in = byUnspaced
	default:
		s.in = bySign
	}
	if s.in >= byUnspaced {
		s.by = start[:grams[gramOf(start)]]
	}
	return s
}

// gramOf gives the index in grams of the most bytes that the key has.
func gramOf(key string) int {
	i := 0
	for len(key) < grams[i] {
		i++
	}
	return i
}

// newIndex makes the index of shapes.
func newIndex(shapes []shape) *index {
	slices.SortFunc(shapes, func(a, b shape) int {
		return cmp.Or(cmp.Compare(a.in, b.in), strings.Compare(a.by, b.by),
			slices.CompareFunc(a.parts, b.parts, func(a, b part) int { return strings.Compare(a.key, b.key) }))
	})
	x := new(index)
	firsts := make([]int, 0, len(shapes)) // of each stage, the first of its shapes
	for i, s := range shapes {
		if i == 0 || s.in != shapes[i-1].in || s.by != shapes[i-1].by {
			firsts = append(firsts, i)
		}
	}
	x.entries = make([]entry, 0, len(shapes))
	var prefixes []string
	counts := make(map[*table]int)
	for _, first := range firsts {
		counts[x.table(&shapes[first])]++
	}
	for t, n := range counts {
		*t = newTable(n)
	}
	for i, first := range firsts {
		end := len(shapes)
		if i+1 < len(firsts) {
			end = firsts[i+1]
		}
		s := &shapes[first]
		x.table(s).add(s.hash(), x.addStage(shapes[first:end], 0))
		if s.in == byPrefix {
			prefixes = append(prefixes, s.by)
		}
	}
	x.lengths = newLengths(prefixes)
	return x
}

// hash gives the hash by which a shape is looked up.
func (s *shape) hash() uint64 {
	if s.in != byPair {
		return hashString(s.by)
	}
	second := strings.IndexByte(s.by, ' ') + 1
	between := s.by[s.first:second]
	var b [8]byte
	copy(b[:], between)
	return hashPair(hashString(s.by[:s.first]), binary.LittleEndian.Uint64(b[:]), hashString(s.by[second:]))
}

// table gives the table that a shape is in.
func (x *index) table(s *shape) *table {
	switch s.in {
	case byWord:
		return &x.words
	case byPair:
		return &x.pairs
	case byPrefix:
		return &x.prefixes
	case byUnspaced:
		return &x.unspaced[gramOf(s.by)]
	case bySign:
		return &x.signs[gramOf(s.by)]
	}
	return &x.anywhere[gramOf(s.by)]
}

// An entry is a part of terms that may stand at a place of the text. Those that
// may stand at the same place are a stage: side by side and sorted by key. A find
// is rare, so none of what it needs is in the processor's cache; that is why it
// is little, and in one place.
type entry struct {
	key    extent // in the keys of the index
	prefix int32  // the longest other entry of the stage with which the key begins, or -1
	size   int32  // of the first entry of a stage: how many there are
	leaf   int32  // that ends here
	more   int32  // the index of what else is here, or -1
	flags  entryFlags
}

type entryFlags uint8

const (
	hasLeaf  entryFlags = 1 << iota
	asksEnd             // a word must end after those that end here
	wholeExt            // the last letter of those that end here may bear further signs
	openExt             // the same for those that go on
)

// moreOf is what few entries have.
type moreOf struct {
	whole []int32 // further leaves that end here
	open  []int32 // the leaves that end here with a wildcard
	then  int32   // the stage that follows a wildcard here, or -1
}

// addStage adds a stage of the parts at depth of sorted shapes, and gives its
// first entry.
func (x *index) addStage(shapes []shape, depth int) int32 {
	first := int32(len(x.entries))
	type pending struct {
		more       int32
		start, end int
	}
	var goOn []pending // what follows a wildcard
	for start := 0; start < len(shapes); {
		key := shapes[start].parts[depth].key
		e := entry{key: extent{int32(len(x.keys)), int32(len(x.keys) + len(key))}, prefix: -1, more: -1}
		x.keys = append(x.keys, key...)
		more := moreOf{then: -1}
		end, rest := start, -1
		for ; end < len(shapes) && shapes[end].parts[depth].key == key; end++ {
			s := &shapes[end]
			p := &s.parts[depth]
			switch {
			case depth+1 < len(s.parts):
				// The shorter ones are sorted before.
				if rest < 0 {
					rest = end
				}
				e.flags |= flagIf(openExt, p.extended)
			case s.open:
				more.open = append(more.open, s.leaf)
				e.flags |= flagIf(openExt, p.extended)
			case e.flags&hasLeaf == 0:
				e.leaf = s.leaf
				e.flags |= hasLeaf | flagIf(asksEnd, p.asksEnd) | flagIf(wholeExt, p.extended)
			default:
				more.whole = append(more.whole, s.leaf)
			}
		}
		if rest >= 0 || more.open != nil || more.whole != nil {
			e.more = int32(len(x.more))
			x.more = append(x.more, more)
		}
		if rest >= 0 {
			goOn = append(goOn, pending{e.more, rest, end})
		}
		for i := int32(len(x.entries)) - 1; i >= first; i = x.entries[i].prefix {
			if bytes.HasPrefix([]byte(key), x.keyOf(&x.entries[i])) {
				e.prefix = i
				break
			}
		}
		x.entries = append(x.entries, e)
		start = end
	}
	x.entries[first].size = int32(len(x.entries)) - first
	for _, p := range goOn {
		then := x.addStage(shapes[p.start:p.end], depth+1)
		x.more[p.more].then = then
	}
	return first
}

func flagIf(f entryFlags, is bool) entryFlags {
	if is {
		return f
	}
	return 0
}

func (x *index) keyOf(e *entry) []byte { return x.keys[e.key.start:e.key.end] }

// last gives, of the stage that begins at first, the last entry whose key is not
// after the text, or -1. The entries with whose keys the text begins are among it
// and its prefixes. Of one entry it gives that.
func (x *index) last(first int32, text []byte) int32 {
	lo, hi := first, first+x.entries[first].size
	if hi == lo+1 {
		return first
	}
	for lo < hi {
		mid := int32(uint32(lo+hi) / 2)
		if key := x.keyOf(&x.entries[mid]); bytes.Compare(key, text[:min(len(text), len(key))]) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == first {
		return -1
	}
	return lo - 1
}

// A table gives the stage of some bytes by their hash. Bytes with equal hashes
// are told apart by the keys in the stage.
type table struct {
	filter []uint64 // some bits of a word are set for each hash; most bits are not
	slots  []slot
	shift  uint8 // of a hash, to its word
}

type slot struct {
	tag   uint32
	stage int32 // its first entry, from 1; 0 is an empty slot
}

// newTable makes a table for n stages.
func newTable(n int) table {
	size := 1 << bits.Len(uint(2*n-1)) // a power of two, at least twice n
	const bitsEach = 4                 // for each slot
	filter := max(128, size*bitsEach)  // two words, so that a shift can tell them apart
	return table{
		filter: make([]uint64, filter/64),
		slots:  make([]slot, size),
		shift:  uint8(64 - bits.TrailingZeros(uint(filter/64))),
	}
}

func (t *table) empty() bool { return len(t.slots) == 0 }

func (t *table) add(hash uint64, stage int32) {
	t.filter[hash>>t.shift] |= filterBits(hash)
	i := uint32(hash) & uint32(len(t.slots)-1)
	for t.slots[i].stage != 0 {
		i = (i + 1) & uint32(len(t.slots)-1)
	}
	t.slots[i] = slot{tagOf(hash), stage + 1}
}

// filterBits gives the bits of a hash in its word of a filter.
func filterBits(hash uint64) uint64 { return 1<<(hash&63) | 1<<(hash>>6&63) | 1<<(hash>>12&63) }

func tagOf(hash uint64) uint32 { return uint32(hash >> 24) }

// mayHave says whether there may be a stage for the hash. The table is not empty.
func (t *table) mayHave(hash uint64) bool {
	return ^t.filter[hash>>(t.shift&63)]&filterBits(hash) == 0
}

// lengths say which lengths the prefixes have that begin with some bytes, as
// bits, the lowest for one byte: those of two or three bytes by the first two,
// those below six by the first four, and the others by the first six.
type lengths [3]lengthTable

// lengthBytes are the first bytes by which lengths are known.
var lengthBytes = [len(lengths{})]int{2, 4, 6}

// A lengthTable is as small as it may be: most looks at it find nothing.
type lengthTable struct {
	of    []uint16
	shift uint8 // of a product of the first bytes, to their place
}

// newLengths makes the lengths of sorted prefixes.
func newLengths(prefixes []string) lengths {
	var counts [len(lengths{})]int
	for _, p := range prefixes {
		counts[lengthsOf(p)]++
	}
	var l lengths
	for i, n := range counts {
		size := 2 << bits.Len(uint(2*n)) // more than four times n
		l[i] = lengthTable{make([]uint16, size), uint8(64 - bits.TrailingZeros(uint(size)))}
	}
	for _, p := range prefixes {
		var first [8]byte
		copy(first[:], p)
		i := lengthsOf(p)
		*l[i].at(binary.LittleEndian.Uint64(first[:]) & lowBytes[lengthBytes[i]]) |= 1 << (len(p) - 1)
	}
	return l
}

// lengthsOf gives the table of lengths that a prefix is in.
func lengthsOf(prefix string) int {
	switch {
	case len(prefix) < lengthBytes[1]:
		return 0
	case len(prefix) < lengthBytes[2]:
		return 1
	}
	return 2
}

func (t *lengthTable) at(first uint64) *uint16 { return &t.of[(first*oddNumber)>>(t.shift&63)] }

// find gives the lengths, up to n, of the prefixes with which a word of n bytes
// may begin.
func (l *lengths) find(first uint64, n int) uint32 {
	// Bytes after the word lead to lengths that are cut off. To look is cheaper
	// than to ask first, as how long a word is cannot be foreseen.
	found := *l[0].at(first & lowBytes[lengthBytes[0]]) | *l[1].at(first & lowBytes[lengthBytes[1]]) | *l[2].at(first & lowBytes[lengthBytes[2]])
	return uint32(found) & (1<<min(n, maxPrefix) - 1)
}

// oddNumber spreads bytes over the high bits of a product.
const oddNumber = 0x9E3779B97F4A7C15

// lowBytes has the masks of the first bytes of eight.
var lowBytes = [9]uint64{0, 1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1, 1<<40 - 1, 1<<48 - 1, 1<<56 - 1, 1<<64 - 1}

// hashKey hashes n bytes, of which padding follows.
func hashKey(b []byte, n int) uint64 {
	h := uint64(n)
	for n > 8 {
		h = mix(h ^ binary.LittleEndian.Uint64(b))
		b, n = b[8:], n-8
	}
	return mix(h ^ binary.LittleEndian.Uint64(b)&lowBytes[n])
}

func hashString(s string) uint64 {
	return hashKey(append([]byte(s), make([]byte, padding)...), len(s))
}

// hashPair hashes two words by their hashes and the bytes between.
func hashPair(first, between, second uint64) uint64 {
	return mix(bits.RotateLeft64(first, 1) ^ second ^ between*oddNumber)
}

// mix is one step of a hash: both halves of a product with a number that has
// about as many bits set as not.
func mix(x uint64) uint64 {
	hi, lo := bits.Mul64(x^0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
	return hi ^ lo
}
