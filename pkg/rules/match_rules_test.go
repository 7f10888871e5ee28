package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"autotag/pkg/transcript"
)

// mustParse reads a rules file that has no faults and lacks its first line.
func mustParse(t testing.TB, rules string) *Set {
	t.Helper()
	return readRules(t, "version: 1\n"+rules)
}

// chat builds a complete transcript of group 0. Each line is one message of
// the author that its first letter names (c customer, a agent, b bot, u
// unknown), with i after it for one that only agents see and m for Markdown.
func chat(lines ...string) *transcript.Transcript {
	t := &transcript.Transcript{Groups: []int{0}, Complete: true}
	for _, line := range lines {
		who, text, _ := strings.Cut(line, ": ")
		author := map[byte]transcript.Author{
			'c': transcript.Customer, 'a': transcript.Agent, 'b': transcript.Bot, 'u': transcript.Unknown,
		}[who[0]]
		t.Messages = append(t.Messages, transcript.Message{
			EventID: "T_" + strconv.Itoa(len(t.Messages)+1), At: time.Unix(int64(len(t.Messages)), 0),
			Author: author, Internal: strings.Contains(who, "i"),
			Texts: []transcript.Text{{Field: "text", Text: text, Markdown: strings.Contains(who, "m")}},
		})
	}
	return t
}

// termRule is a rules file with one rule of one term, written as YAML.
func termRule(term string) string {
	return "rules:\n  - tag: t\n    any:\n      - " + term + "\n"
}

// What a single term finds in a single message, sentence by sentence.
func TestTermSentences(t *testing.T) {
	t.Parallel()
	sentences := []struct {
		says     string
		term     string // YAML
		finds    []string
		not      []string
		markdown bool // the messages are marked as Markdown
	}{
		{says: "a literal stands as whole words in its order", term: "money back",
			finds: []string{"I want my money back", "money back", "(money back)!"},
			not:   []string{"back money", "money comes back", "moneyback", "xmoney back", "money backs"}},
		{says: "word is a literal", term: "{word: money back}",
			finds: []string{"MONEY-BACK please"}, not: []string{"money backs"}},

		{says: "case is folded", term: "Refund", finds: []string{"REFUND", "refund", "rEfUnD"}, not: []string{"refind"}},
		{says: "ß is ss, capital ẞ too", term: "Straße", finds: []string{"STRASSE", "strasse", "STRAẞE"}, not: []string{"strase"}},
		{says: "final sigma is sigma", term: "ΟΔΟΣ", finds: []string{"οδος", "οδοσ"}, not: []string{"οδο"}},
		{says: "dotless and dotted i are i", term: "istanbul", finds: []string{"ıstanbul", "İSTANBUL", "ISTANBUL"}, not: []string{"lstanbul"}},
		{says: "marks on Latin letters are folded", term: "café", finds: []string{"cafe", "CAFÉ", "cafe\u0301", "càfê"}, not: []string{"caf"}},
		{says: "marks on Greek letters are folded", term: "καλημερα", finds: []string{"καλημέρα", "ΚΑΛΗΜΈΡΑ", "κᾳλημερα"}, not: []string{"καλησπερα"}},
		{says: "marks on Cyrillic letters are folded", term: "еще", finds: []string{"ещё", "ЕЩЁ"}, not: []string{"ещо"}},
		{says: "marks on Arabic letters are folded", term: "احمد", finds: []string{"أحمد", "أَحْمَد"}, not: []string{"حمد"}},
		{says: "marks on Hebrew letters are folded", term: "שלום", finds: []string{"שָׁלוֹם"}, not: []string{"שלו"}},
		{says: "strokes are folded", term: "lodz oere dak ha", finds: []string{"łodz oere đak ħa", "ŁODZ OERE ĐAK ĦA"}, not: []string{"kodz oere dak ha"}},
		{says: "ø is o", term: "Tromsø", finds: []string{"Tromso", "TROMSØ"}, not: []string{"Tromsoe"}},
		{says: "æ is ae, œ is oe", term: "encyclopædia œuvre", finds: []string{"encyclopaedia oeuvre", "ENCYCLOPÆDIA ŒUVRE", "encyclopǽdia oeuvre"}, not: []string{"encyclopedia euvre"}},
		{says: "composed and decomposed are the same", term: "\"e\u0301te\u0301\"", finds: []string{"été", "e\u0301te\u0301"}, not: []string{"etat"}},
		{says: "ü is not ue", term: "müller", finds: []string{"muller"}, not: []string{"mueller"}},
		{says: "kana voicing marks tell letters apart", term: "カ", finds: []string{"カメラ"}, not: []string{"ガ", "カ\u3099", "ｶﾞ"}},
		{says: "voiced kana is one letter in any form", term: "ガス", finds: []string{"カ\u3099ス", "ｶﾞｽ"}, not: []string{"カス"}},
		{says: "Hangul syllables are letters, composed or not", term: "각", finds: []string{"각", "\u1100\u1161\u11a8"}, not: []string{"가", "가ㄱ"}},
		{says: "Indic signs are letters", term: "कि", finds: []string{"वह कि यह"}, not: []string{"का", "की", "क"}},
		{says: "Thai signs are letters", term: "ไม่", finds: []string{"ฉันไม่รู้"}, not: []string{"ไม"}},

		{says: "full and half width are the same", term: "refund 100", finds: []string{"ｒｅｆｕｎｄ　１００"}, not: []string{"ｒｅｆｕｎｄｓ"}},
		{says: "half width kana is kana", term: "カメラ", finds: []string{"ｶﾒﾗ"}, not: []string{"ｶﾒ"}},
		{says: "ligatures are their letters", term: "final office", finds: []string{"ﬁnal oﬃce"}, not: []string{"fnal office"}},
		{says: "Arabic presentation forms are their letters", term: "سلام", finds: []string{"ﺳﻼﻡ"}, not: []string{"ﺳﻼ"}},
		{says: "letters of mathematical and other fonts are letters", term: "refund", finds: []string{"𝐫𝐞𝐟𝐮𝐧𝐝", "𝓇ℯ𝒻𝓊𝓃𝒹", "𝖗𝖊𝖋𝖚𝖓𝖉"}, not: []string{"𝐫𝐞𝐟𝐮𝐧"}},
		{says: "the micro sign is mu", term: "\"5 µm\"", finds: []string{"5 μm", "5 Μm"}, not: []string{"5 m"}},
		{says: "superscripts, trade marks, circles and fractions are signs", term: "apple",
			finds: []string{"Apple™", "apple℠", "apple²", "apple①", "apple½", "appleⁿ", "appleª"}, not: []string{"applen", "appletm"}},
		{says: "signs keep their form", term: "x²", finds: []string{"x²", "X² + 1", "2x x²"}, not: []string{"x2", "x³"}},
		{says: "① is not 1 and ½ is not 1/2", term: "①", finds: []string{"step ①", "①②"}, not: []string{"1", "(1)"}},

		{says: "the kind of single quotes is folded", term: "can't",
			finds: []string{"I can't", "can’t", "can‘t", "canʼt", "can´t", "can`t"}, not: []string{"cant", "can t"}},
		{says: "the kind of double quotes is folded", term: `'"thank you"'`,
			finds: []string{`"thank you"`, "“thank you”", "„thank you“", "«thank you»", "no“thank you”so"}, not: []string{"thank you", "'thank you'"}},
		{says: "any run of white space is one blank", term: "money back",
			finds: []string{"money\u00a0back", "money\tback", "money\n\n back", "money \u3000 back", "money\r\nback"}, not: []string{"money\u200bback"}},
		{says: "dashes and blanks between two words are one blank", term: "e-mail",
			finds: []string{"e mail", "e-mail", "e‐mail", "e‑mail", "e–mail", "e—mail", "e−mail", "e - mail", "e --- mail", "e\n- mail"}, not: []string{"email", "e_mail"}},
		{says: "also where the literal has none", term: "e mail", finds: []string{"e-mail", "E–MAIL"}, not: []string{"email"}},
		{says: "dashes elsewhere stay, of any kind", term: "'-->'", finds: []string{"a --> b", "——>"}, not: []string{"a -> b", "a > b"}},
		{says: "soft hyphens, zero-width, byte order and directional marks and tatweel are nothing", term: "refund",
			finds: []string{"re\u00adfund", "re\u200bfund", "\ufeffrefund", "\u200frefund\u200e", "re\u2060fu\u200cnd", "\u202arefund\u202c"}, not: []string{"re fund"}},
		{says: "tatweel stretches a word", term: "سلام", finds: []string{"ســـلام"}, not: []string{"س لام"}},
		{says: "the invisible in the literal is nothing", term: "\"re\\u00adfund\\u200b\"", finds: []string{"refund"}, not: []string{"fund"}},

		{says: "words end where a letter or digit meets anything else", term: "app",
			finds: []string{"app", "the app.", "(app)", "app/web", "_app_", "#app", "@app", "app*", "~app~"}, not: []string{"happy", "apps", "app2", "2app", "mapp"}},
		{says: "an edge that is a sign asks for no word end: smiley", term: "':)'", finds: []string{"thanks:)", ":)", "a :) b", ":):)"}, not: []string{": )", ":("}},
		{says: "an edge that is a sign asks for no word end: C++", term: "C++", finds: []string{"C++11", "c++", "(C++)"}, not: []string{"C+", "objectiveC++"}},
		{says: "an edge that is a sign asks for no word end: money", term: "$100", finds: []string{"US$100", "$100!"}, not: []string{"$1000", "$100.50", "$100,000"}},
		{says: "an edge that is a digit asks for a word end", term: "'#1'", finds: []string{"#1", "we are #1!", "x#1"}, not: []string{"#10", "#1a", "# 1"}},
		{says: "an apostrophe ends a word: before it", term: "dhl", finds: []string{"DHL's", "DHL'den", "DHL’s"}, not: []string{"dhls"}},
		{says: "an apostrophe ends a word: after it", term: "adresse", finds: []string{"l'adresse", "l’adresse"}, not: []string{"ladresse"}},
		{says: "n't belongs to its verb", term: "can", finds: []string{"can", "can's", "can'too", "I can"}, not: []string{"can't", "CAN’T", "I can't.", "can't've"}},
		{says: "so a wildcard finds it", term: "can*", finds: []string{"can't", "cannot", "can"}, not: []string{"ca", "scan"}},
		{says: "nor is the t of n't a word", term: "'t'", finds: []string{"t", "don' t"}, not: []string{"don't"}},
		{says: "digits joined by point or comma are one number", term: "'100'",
			finds: []string{"100", "100.", "100, 200", "100,", "$100", "100%", "a.100"}, not: []string{"1,100", "100.50", "1.100", "100,5", "1000", "x100"}},
		{says: "a joined number is found whole", term: "'1,100'", finds: []string{"1,100", "1,100."}, not: []string{"1100", "1.100", "1,100.50", "11,100"}},
		{says: "there is no number reading", term: "'1000'", finds: []string{"1000"}, not: []string{"1,000", "1.000", "1 000"}},
		{says: "a date's parts are words", term: "'2024'", finds: []string{"2024-05-01", "05/2024"}, not: []string{"20245", "2024.05"}},
		{says: "other punctuation breaks a phrase", term: "money back", finds: []string{"my money back."}, not: []string{"money. Back", "money, back", "money/back", "money … back"}},
		{says: "unless the literal has it", term: "money. back", finds: []string{"Money. Back"}, not: []string{"money back", "money.back"}},

		{says: "unspaced scripts are found inside the run: Hangul", term: "환불", finds: []string{"환불을 원해요", "전액환불"}, not: []string{"환 불", "환"}},
		{says: "unspaced scripts are found inside the run: Han", term: "退款", finds: []string{"我要退款吗", "退款"}, not: []string{"退货款"}},
		{says: "unspaced scripts are found inside the run: kana", term: "返金して", finds: []string{"すぐ返金してください"}, not: []string{"返金"}},
		{says: "unspaced scripts are found inside the run: Thai", term: "คืนเงิน", finds: []string{"ขอคืนเงินด้วย"}, not: []string{"คืนเงน"}},
		{says: "unspaced scripts are found inside the run: Lao", term: "ເງິນ", finds: []string{"ຄືນເງິນແດ່"}, not: []string{"ເງນ"}},
		{says: "unspaced scripts are found inside the run: Khmer", term: "ប្រាក់", finds: []string{"សងប្រាក់វិញ"}, not: []string{"ប្រា"}},
		{says: "unspaced scripts are found inside the run: Burmese", term: "ငွေ", finds: []string{"ပြန်ငွေပေး"}, not: []string{"ငေ"}},
		{says: "where such a script meets another a word ends", term: "iphone", finds: []string{"我的iPhone坏了", "iphoneが"}, not: []string{"我的iPhones坏了"}},
		{says: "where such a script meets digits a word ends", term: "'24'", finds: []string{"24小时", "第24"}, not: []string{"124小时", "24.5小时"}},

		{says: "an emoji needs no word end", term: "👍", finds: []string{"ok👍", "👍👍", "👍"}, not: []string{"👎"}},
		{says: "skin tones are ignored", term: "👍", finds: []string{"👍🏽", "👍🏿"}, not: []string{"👎🏽"}},
		{says: "in the literal too", term: "👍🏽", finds: []string{"👍", "👍🏿"}, not: []string{"👎"}},
		{says: "variation selectors are ignored", term: "❤️", finds: []string{"❤", "❤️", "❤︎"}, not: []string{"💔"}},
		{says: "joined sequences are not cut", term: "👩", finds: []string{"👩", "👩🏽", "👩👧"}, not: []string{"👩‍👩‍👧", "👩🏽‍💻"}},
		{says: "nor joined", term: "👩‍👧", finds: []string{"👩‍👧!"}, not: []string{"👩👧", "👩\u200b👧", "👩‍👩‍👧"}},
		{says: "skin tones in a sequence are ignored", term: "👩‍💻", finds: []string{"👩🏽‍💻"}, not: []string{"👨‍💻"}},
		{says: "selectors in a sequence are ignored", term: "🏃‍♀️", finds: []string{"🏃‍♀", "🏃🏿‍♀️"}, not: []string{"🏃"}},
		{says: "keycaps are not cut", term: "'1'", finds: []string{"1"}, not: []string{"1️⃣", "1⃣"}},
		{says: "a keycap is found in either form", term: "1️⃣", finds: []string{"1⃣", "x1️⃣"}, not: []string{"1", "2️⃣"}},
		{says: "flags are not cut", term: "🇩🇪", finds: []string{"🇩🇪", "🇫🇷🇩🇪"}, not: []string{"🇦🇩🇪🇹", "🇩", "🇩\u200b🇪"}},
		{says: "flags of regions are not cut", term: "🏴", finds: []string{"🏴"}, not: []string{"🏴\U000E0067\U000E0062\U000E0065\U000E006E\U000E0067\U000E007F"}},
		{says: "for its neighbours an emoji is no letter", term: "refund", finds: []string{"refund👍", "👍refund", "1️⃣refund🇩🇪"}, not: []string{"refundx👍"}},

		{says: "a star at the end of a word is any ending", term: "refund*", finds: []string{"refund", "refunds", "refunded", "Refund's", "refund!", "refund2"}, not: []string{"refun", "prerefund"}},
		{says: "up to the word's end", term: "refund* policy", finds: []string{"refund policy", "refunds policy", "refunding - policy"}, not: []string{"refund some policy", "refund, policy", "refundpolicy"}},
		{says: "a star before a dash in the literal", term: "refund*-policy", finds: []string{"refunds policy"}, not: []string{"refunds. policy"}},
		{says: "a wildcard in each word", term: "refund* polic*", finds: []string{"refunds policies"}, not: []string{"refunds pol"}},
		{says: "of two letters or more", term: "ok*", finds: []string{"okay", "ok"}, not: []string{"o", "book"}},
		{says: "digits count", term: "'24*'", finds: []string{"2400", "24", "24.5", "24小时"}, not: []string{"124"}},
		{says: "the prefix form is the only one", term: "'*fund'", finds: []string{"*fund", "re*fund"}, not: []string{"refund", "fund"}},
		{says: "a star in a word is a star", term: "re*fund", finds: []string{"re*fund"}, not: []string{"refund", "rexfund"}},
		{says: "a star after one letter or digit is a star", term: "5*", finds: []string{"5*", "a 5* hotel"}, not: []string{"5", "50", "5 *"}},
		{says: "two stars are stars", term: "refund**", finds: []string{"refund**"}, not: []string{"refunds", "refund*"}},
		{says: "in word every star is a star", term: "{word: 'refund*'}", finds: []string{"refund*"}, not: []string{"refund", "refunds"}},
		{says: "a wildcard in an unspaced script", term: "환불* 정책", finds: []string{"환불을 정책", "환불 정책"}, not: []string{"환불 을 정책"}},
		{says: "an ending may be a sign that is a letter", term: "वापस*", finds: []string{"वापसी", "वापस"}, not: []string{"वाप"}},
		{says: "links and addresses are text", term: "refund", finds: []string{"https://shop.example/refund", "refund@shop.example"}, not: []string{"https://shop.example/refunds"}},

		{says: "Markdown is read as its text", term: "refund now", markdown: true,
			finds: []string{"**refund** now", "re**fund** now", "[refund](http://x.example) now", "# Refund now", "> refund now", "`refund` now", "refund&nbsp;now", "refund&#32;now", "refund\nnow", "refund  \nnow", "refund\n\nnow", "- refund\n- now", "    refund now", "```\nrefund now\n```", "![refund](http://x.example/i.png) now", "_refund_ now", "refund <b>now</b>"},
			not:   []string{"[x](http://refund.example) now", "<!-- refund now -->", "<div class=\"refund now\"></div>", "[x](y \"refund now\")", "![x](refund) now"}},
		{says: "escapes are read", term: "'*now*'", markdown: true, finds: []string{`\*now\*`, "`*now*`", "&#42;now&ast;"}, not: []string{"*now*", "**now**"}},
		{says: "autolinks are text", term: "shop", markdown: true, finds: []string{"<https://shop.example>", "<me@shop.example>", "x <https://shop.example> y"}, not: []string{"[x](https://shop.example)", "<shop>"}},
		{says: "unmarked text is not Markdown", term: "'**now**'", finds: []string{"**now**"}, not: []string{"now"}},
		{says: "prefixes glued on in Hebrew and Arabic stay", term: "משלוח", finds: []string{"משלוח"}, not: []string{"המשלוח"}},
		{says: "contains finds those words", term: "{contains: משלוח}", finds: []string{"המשלוח"}, not: []string{"שלוח"}},

		{says: "contains is a substring of the folded text without word ends", term: "{contains: Fund}",
			finds: []string{"refunded", "FÜND", "fund"}, not: []string{"fu nd", "f-und"}},
		{says: "contains folds runs too", term: "{contains: y-b}", finds: []string{"money back", "money – back"}, not: []string{"moneyback"}},
		{says: "contains cuts no cluster", term: "{contains: 👩}", finds: []string{"x👩x"}, not: []string{"👩‍👩‍👧"}},
		{says: "a star in contains is a star", term: "{contains: 'und*'}", finds: []string{"refund*"}, not: []string{"refunds"}},

		{says: "canned is the whole message", term: "{canned: Thank you for waiting.}",
			finds: []string{"Thank you for waiting.", "  thank  you for WAITING. ", "**Thank you** for waiting."}, not: []string{"Thank you for waiting. Bye", "Oh, thank you for waiting.", "Thank you for waiting"}},
		{says: "a placeholder is any text", term: `{canned: "We will call you back within %hours% hours."}`,
			finds: []string{"We will call you back within 24 hours.", "we will call you back within two or three hours.", "We will call you back within hours.", "We will call you back within 1\n2 hours."},
			not:   []string{"We will call you back within 24 days.", "We will call you back within24hours.", "We will call you back within 24 hours. Bye"}},
		{says: "a placeholder at an end", term: `{canned: "%greeting_1%, this is %agent%"}`,
			finds: []string{"Hello, this is Ann", ", this is", "Hi, this is, well, this is Bob"}, not: []string{"Hello this is Ann", "Hello, that is Ann"}},
		{says: "two placeholders side by side", term: `{canned: "Hi %first% %last%!"}`, finds: []string{"Hi Ann Lee!", "Hi Ann!", "Hi !", "Hi  !"}, not: []string{"Hi", "HiAnn!"}},
		{says: "a placeholder beside a dash", term: `{canned: "Order - %id% - sent"}`, finds: []string{"Order - 7 - sent", "Order - - sent", "Order – A-1 – sent", "Order sent"}, not: []string{"Order7sent"}},
		{says: "a dash between placeholders is asked for", term: `{canned: "%a% - %b%"}`, finds: []string{"x - y", "– y", "x y"}, not: []string{"x", "x.y"}},
		{says: "canned text is stripped of Markdown", term: `{canned: "**Hello** %name%, see [our page](https://x.example)."}`,
			finds: []string{"Hello Bob, see our page.", "**Hello** Bob, see [our page](https://x.example)."}, not: []string{"Hello Bob, see page."}},
		{says: "a message marked as Markdown is stripped", term: "{canned: Hello there}", markdown: true, finds: []string{"**Hello** there"}, not: []string{"Hello"}},
		{says: "a percent sign without a name is itself", term: `{canned: "50% or 60% off"}`, finds: []string{"50% or 60% off"}, not: []string{"50 off", "50x off"}},

		{says: "regex ignores case", term: `{regex: 'chargeback #\d+'}`, finds: []string{"ChargeBack #12", "a chargeback #1."}, not: []string{"chargeback #", "chargeback 12"}},
		{says: "regex sees the text as written", term: `{regex: 'cafe\x{301}?'}`, finds: []string{"cafe\u0301", "CAFE"}, not: []string{"café"}},
		{says: "nothing else is folded for a regex", term: `{regex: "a-b"}`, finds: []string{"a-b"}, not: []string{"a b", "a–b", "ａ-b"}},
		{says: "^ and $ are the ends of the message", term: `{regex: '^no$'}`, finds: []string{"No"}, not: []string{"yes\nno", "no\nyes", "no "}},
		{says: "regex sees Markdown stripped", term: `{regex: '^so bold$'}`, markdown: true, finds: []string{"so **bold**"}, not: []string{"so bold\\*"}},
		{says: "regex with exact case", term: `{regex: "RMA", case: exact}`, finds: []string{"RMA 1"}, not: []string{"rma 1"}},

		{says: "case exact leaves the other foldings", term: "{word: US, case: exact}", finds: []string{"US", "the US.", "ÚS", "ＵＳ"}, not: []string{"us", "Us"}},
		{says: "ß and ı belong to case", term: "{word: Straße, case: exact}", finds: []string{"Straße"}, not: []string{"Strasse", "straße"}},
		{says: "ı belongs to case", term: "{word: ısı, case: exact}", finds: []string{"ısı"}, not: []string{"isi"}},
		{says: "accents exact leaves the other foldings", term: "{word: résumé, accents: exact}", finds: []string{"RÉSUMÉ", "re\u0301sume\u0301", "ｒésumé"}, not: []string{"resume", "résume"}},
		{says: "accents exact keeps strokes and ligated letters", term: "{word: æble ø, accents: exact}", finds: []string{"ÆBLE Ø"}, not: []string{"aeble o", "æble o"}},
		{says: "ß is case, so accents exact leaves it folded", term: "{word: straße, accents: exact}", finds: []string{"STRASSE"}, not: []string{"sträße"}},
		{says: "a wildcard takes case exact", term: "{any: [ID*], case: exact}", finds: []string{"IDs"}, not: []string{"ids", "idea"}},
	}
	for _, s := range sentences {
		t.Run(s.says, func(t *testing.T) {
			t.Parallel()
			if len(s.finds) == 0 || len(s.not) == 0 {
				t.Fatal("a sentence needs a case that finds and one that does not")
			}
			set := mustParse(t, termRule(s.term))
			who := "c: "
			if s.markdown {
				who = "cm: "
			}
			for _, text := range s.finds {
				if tags := set.Match(chat(who + text)).TagSet(); len(tags) != 1 {
					t.Errorf("%s is not found in %+q", s.term, text)
				}
			}
			for _, text := range s.not {
				if tags := set.Match(chat(who + text)).TagSet(); len(tags) != 0 {
					t.Errorf("%s is found in %+q", s.term, text)
				}
			}
		})
	}
}

// What rules make of a chat, sentence by sentence.
func TestRuleSentences(t *testing.T) {
	t.Parallel()
	type with = func(*transcript.Transcript)
	groups := func(ids ...int) with { return func(t *transcript.Transcript) { t.Groups = ids } }
	tagged := func(tags ...string) with { return func(t *transcript.Transcript) { t.Tagged = tags } }
	incomplete := func(t *transcript.Transcript) { t.Complete = false }
	form := func(answers ...string) with {
		return func(t *transcript.Transcript) {
			m := transcript.Message{EventID: "T_form", Author: transcript.Customer}
			for i, a := range answers {
				m.Texts = append(m.Texts, transcript.Text{Field: fmt.Sprintf("answer:%d", i), Text: a})
			}
			t.Messages = append(t.Messages, m)
		}
	}
	type example struct {
		chat []string
		with with
		want string // tags, then shadow tags after a bar
	}
	sentences := []struct {
		says     string
		rules    string
		examples []example
	}{
		{"at least one any, every all and no none", `
rules: [{tag: t, any: [a, b], all: [c, d], none: [x, y]}]`, []example{
			{[]string{"c: a c d"}, nil, "t"}, {[]string{"c: b", "a: d", "u: c"}, nil, "t"},
			{[]string{"c: c d"}, nil, ""}, {[]string{"c: a c"}, nil, ""}, {[]string{"c: a c d", "a: y"}, nil, ""}}},
		{"an absent list asks nothing", `
rules: [{tag: t, all: [a]}, {tag: u, any: [a], none: [b]}]`, []example{
			{[]string{"c: a"}, nil, "t u"}, {[]string{"c: a b"}, nil, "t"}, {[]string{"c: b"}, nil, ""}}},
		{"one tag may have many rules", `
rules: [{tag: t, any: [a]}, {tag: t, any: [b]}]`, []example{
			{[]string{"c: a b"}, nil, "t"}, {[]string{"c: b"}, nil, "t"}, {[]string{"c: c"}, nil, ""}}},
		{"a phrase does not span messages", `
rules: [{tag: t, any: [money back]}]`, []example{
			{[]string{"c: money back"}, nil, "t"}, {[]string{"c: money", "c: back"}, nil, ""}}},
		{"each answer of a form is a text of its own", `
rules: [{tag: t, any: [money back]}]`, []example{
			{nil, form("x", "money back"), "t"}, {nil, form("money", "back"), ""}}},
		{"a form counts as one message", `
rules: [{tag: t, within: message, all: [a, b]}, {tag: u, any: [{word: a, min: 2}]}]`, []example{
			{nil, form("a", "a b"), "t"}, {[]string{"c: a"}, form("a"), "u"}, {[]string{"c: a"}, form("b"), ""}}},
		{"within chat the lists hold together over the messages", `
rules: [{tag: t, all: [a, b]}]`, []example{{[]string{"c: a", "a: b"}, nil, "t"}, {[]string{"c: a"}, nil, ""}}},
		{"within message they hold in one", `
rules: [{tag: t, within: message, all: [a, b]}]`, []example{
			{[]string{"c: x", "c: a b"}, nil, "t"}, {[]string{"c: a", "c: b"}, nil, ""}}},
		{"within message a veto counts in its message only", `
rules: [{tag: t, within: message, any: [a], none: [x]}]`, []example{
			{[]string{"c: a x", "c: a", "c: x"}, nil, "t"}, {[]string{"c: a x", "c: b"}, nil, ""}}},
		{"within chat a veto counts anywhere", `
rules: [{tag: t, any: [a], none: [x]}]`, []example{{[]string{"c: a"}, nil, "t"}, {[]string{"c: a", "a: x"}, nil, ""}}},
		{"from is the author side; anyone is all, people or not", `
rules: [{tag: c, from: customer, any: [a]}, {tag: a, from: agent, any: [a]}, {tag: b, from: bot, any: [a]}, {tag: any, any: [a]}]`, []example{
			{[]string{"c: a"}, nil, "any c"}, {[]string{"a: a"}, nil, "a any"}, {[]string{"b: a"}, nil, "any b"}, {[]string{"u: a"}, nil, "any"}, {[]string{"u: x"}, nil, ""}}},
		{"a veto looks at its rule's side only", `
rules: [{tag: t, from: customer, any: [a], none: [x]}]`, []example{{[]string{"c: a", "a: x"}, nil, "t"}, {[]string{"c: a", "c: x"}, nil, ""}}},
		{"messages only agents see are searched where the rule says so", `
rules: [{tag: t, internal: true, any: [a]}, {tag: u, any: [a]}]`, []example{
			{[]string{"ai: a"}, nil, "t"}, {[]string{"a: a"}, nil, "t u"}, {[]string{"ai: b"}, nil, ""}}},
		{"a veto does not see what only agents see either", `
rules: [{tag: t, any: [a], none: [x]}]`, []example{{[]string{"c: a", "ai: x"}, nil, "t"}, {[]string{"c: a", "a: x"}, nil, ""}}},

		{"a list is any of its entries, wherever it stands", `
lists: {carriers: [dhl, {word: ups}, {all: [fed, ex]}, {list: post}], post: ["royal mail"]}
rules: [{tag: t, all: [late, {list: carriers}]}, {tag: u, any: [a], none: [{list: carriers}]}]`, []example{
			{[]string{"c: late UPS"}, nil, "t"}, {[]string{"c: late", "c: royal mail"}, nil, "t"}, {[]string{"c: late fed", "c: ex"}, nil, "t"},
			{[]string{"c: late fed"}, nil, ""}, {[]string{"c: a"}, nil, "u"}, {[]string{"c: a dhl"}, nil, ""}}},
		{"groups nest and may hold all three", `
rules: [{tag: t, all: [{any: [parcel, package]}, {any: [late, {all: [where, is], none: [joke]}]}]}]`, []example{
			{[]string{"c: parcel late"}, nil, "t"}, {[]string{"c: where is my package"}, nil, "t"},
			{[]string{"c: where is my package", "c: joke"}, nil, ""}, {[]string{"c: parcel"}, nil, ""}}},
		{"a nested none asks for absence", `
rules: [{tag: t, all: [a, {none: [x]}]}]`, []example{{[]string{"c: a"}, nil, "t"}, {[]string{"c: a", "c: x"}, nil, ""}}},
		{"a none within a none asks for presence", `
rules: [{tag: t, within: message, all: [{none: [{none: [a]}]}]}, {tag: u, all: [{none: [{none: [a]}]}]}]`, []example{
			{[]string{"c: x", "c: a"}, nil, "t u"}, {[]string{"c: x"}, nil, ""}}},
		{"case and accents on a rule or group are the defaults of its terms, none included", `
rules: [{tag: t, case: exact, any: [US], none: [IT]}, {tag: u, any: [{any: [é], accents: exact}]}]`, []example{
			{[]string{"c: the US, it"}, nil, "t"}, {[]string{"c: us é"}, nil, "u"}, {[]string{"c: the US IT"}, nil, ""}, {[]string{"c: us e"}, nil, ""}}},
		{"min on a term counts messages", `
rules: [{tag: t, any: [{word: a, min: 2}]}]`, []example{{[]string{"c: a", "a: a"}, nil, "t"}, {[]string{"c: a a a"}, nil, ""}}},
		{"min on a rule counts messages with any of its any or all terms, not of none", `
rules: [{tag: t, min: 3, any: [a, b], all: [c], none: [x]}]`, []example{
			{[]string{"c: a", "c: b", "c: c"}, nil, "t"}, {[]string{"c: a b c", "c: a", "c: a"}, nil, "t"},
			{[]string{"c: a", "c: b c"}, nil, ""}, {[]string{"c: a", "c: b", "c: c", "c: x"}, nil, ""}}},
		{"min on a group counts like a rule's", `
rules: [{tag: t, all: [z, {any: [a, b], min: 2}]}]`, []example{
			{[]string{"c: z a", "c: b"}, nil, "t"}, {[]string{"c: z a b"}, nil, ""}}},
		{"min on a list counts messages with any entry", `
lists: {l: [a, b]}
rules: [{tag: t, any: [{list: l, min: 2}]}]`, []example{{[]string{"c: a", "c: b"}, nil, "t"}, {[]string{"c: a b"}, nil, ""}}},
		{"min with within message counts messages that satisfy the whole rule", `
rules: [{tag: t, within: message, min: 2, all: [a, b], none: [x]}]`, []example{
			{[]string{"c: a b", "c: b a"}, nil, "t"}, {[]string{"c: a b", "c: a", "c: b"}, nil, ""}, {[]string{"c: a b", "c: a b x"}, nil, ""}}},
		{"below a none min means not N times", `
rules: [{tag: t, any: [a], none: [{word: x, min: 2}]}]`, []example{
			{[]string{"c: a", "c: x"}, nil, "t"}, {[]string{"c: a x", "c: x"}, nil, ""}}},
		{"first counts messages of the rule's side", `
rules: [{tag: t, from: customer, any: [{word: a, first: 2}]}]`, []example{
			{[]string{"a: x", "c: x", "a: x", "c: a"}, nil, "t"}, {[]string{"c: x", "c: x", "c: a"}, nil, ""}}},
		{"last counts from the end", `
rules: [{tag: t, from: agent, any: [{word: a, last: 1}]}]`, []example{
			{[]string{"a: x", "a: a", "c: x"}, nil, "t"}, {[]string{"a: a", "a: x"}, nil, ""}}},
		{"messages that the rule does not see are not counted", `
rules: [{tag: t, any: [{word: a, first: 1}]}]`, []example{{[]string{"ai: x", "c: a"}, nil, "t"}, {[]string{"a: x", "c: a"}, nil, ""}}},
		{"first and last on a rule are the defaults of its terms, none included", `
rules: [{tag: t, first: 1, any: [a], none: [x]}]`, []example{
			{[]string{"c: a", "c: x"}, nil, "t"}, {[]string{"c: a x"}, nil, ""}, {[]string{"c: b", "c: a"}, nil, ""}}},
		{"min counts inside the window", `
rules: [{tag: t, any: [{word: a, first: 3, min: 2}]}]`, []example{{[]string{"c: a", "c: x", "c: a"}, nil, "t"}, {[]string{"c: a", "c: x", "c: x", "c: a"}, nil, ""}}},
		{"within message the satisfying message lies in the window itself", `
rules: [{tag: t, within: message, all: [{word: a, first: 1}, b]}]`, []example{
			{[]string{"c: a b"}, nil, "t"}, {[]string{"c: a", "c: a b"}, nil, ""}}},
		{"within message a veto outside its window does not count", `
rules: [{tag: t, within: message, any: [a], none: [{word: x, first: 1}]}]`, []example{
			{[]string{"c: b", "c: a x"}, nil, "t"}, {[]string{"c: a x"}, nil, ""}}},

		{"an off rule says nothing", `
rules: [{tag: t, any: [a]}, {tag: u, status: off, any: [a]}]`, []example{{[]string{"c: a"}, nil, "t"}, {[]string{"c: b"}, nil, ""}}},
		{"a shadow rule is recorded and not applied", `
rules: [{tag: t, any: [a]}, {tag: u, status: shadow, any: [a]}]`, []example{{[]string{"c: a"}, nil, "t|u"}, {[]string{"c: b"}, nil, ""}}},
		{"within a set only the first match in file order", `
rules: [{tag: t, set: s, any: [a]}, {tag: u, set: s, any: [a, b]}, {tag: v, any: [a]}]`, []example{
			{[]string{"c: a"}, nil, "t v"}, {[]string{"c: b"}, nil, "u"}}},
		{"a shadow rule takes no place in a set but loses to an earlier active match", `
rules: [{tag: x, status: shadow, set: s, any: [a]}, {tag: t, set: s, any: [a]}, {tag: u, status: shadow, set: s, any: [a]}]`, []example{
			{[]string{"c: a"}, nil, "t|x"}, {[]string{"c: b"}, nil, ""}}},
		{"unless_tagged stops a rule by exact case", `
rules: [{tag: t, unless_tagged: [vip], any: [a]}]`, []example{
			{[]string{"c: a"}, tagged("VIP"), "t"}, {[]string{"c: a"}, tagged("vip"), ""}}},
		{"a tag that Autotag sets is not seen by unless_tagged", `
rules: [{tag: vip, any: [a]}, {tag: t, unless_tagged: [vip], any: [a]}]`, []example{
			{[]string{"c: a"}, nil, "t vip"}, {[]string{"c: a"}, tagged("vip"), "vip"}}},
		{"groups asks for one of them", `
rules: [{tag: t, groups: [0, 7], any: [a]}]`, []example{
			{[]string{"c: a"}, groups(3, 7), "t"}, {[]string{"c: a"}, nil, "t"}, {[]string{"c: a"}, groups(3), ""}, {[]string{"c: a"}, groups(), ""}}},
		{"a rule stopped by unless_tagged did match: it silences fallbacks and keeps its place in its set", `
rules: [{tag: t, set: s, unless_tagged: [vip], any: [a]}, {tag: u, set: s, any: [a]}, {tag: f, fallback: true}]`, []example{
			{[]string{"c: a"}, nil, "t"}, {[]string{"c: a"}, tagged("vip"), ""}, {[]string{"c: b"}, tagged("vip"), "f"}}},
		{"a rule of another group did not match", `
rules: [{tag: t, set: s, groups: [7], any: [a]}, {tag: u, set: s, groups: [0], any: [b]}, {tag: f, fallback: true}]`, []example{
			{[]string{"c: a"}, nil, "f"}, {[]string{"c: a b"}, nil, "u"}}},
		{"every active fallback applies when no active rule matched, also without messages", `
rules: [{tag: f, fallback: true}, {tag: t, any: [a]}, {tag: g, fallback: true, status: shadow}, {tag: h, fallback: true}, {tag: i, fallback: true, status: off}]`, []example{
			{nil, nil, "f h|g"}, {[]string{"c: b"}, nil, "f h|g"}, {[]string{"c: a"}, nil, "t"}}},
		{"a shadow rule never silences a fallback", `
rules: [{tag: t, status: shadow, any: [a]}, {tag: f, fallback: true}]`, []example{{[]string{"c: a"}, nil, "f|t"}, {[]string{"c: b"}, nil, "f"}}},
		{"fallbacks never apply to what is incomplete for good", `
rules: [{tag: t, any: [a]}, {tag: f, fallback: true}]`, []example{
			{[]string{"c: b"}, nil, "f"}, {[]string{"c: b"}, incomplete, ""}, {[]string{"c: a"}, incomplete, "t"}}},
		{"a fallback may carry groups, unless_tagged and set", `
rules: [{tag: f, fallback: true, groups: [7]}, {tag: g, fallback: true, unless_tagged: [vip]}, {tag: h, fallback: true, set: s}, {tag: i, fallback: true, set: s}]`, []example{
			{nil, groups(7), "f g h"}, {nil, tagged("vip"), "h"}}},
		{"defaults set from, within, case, accents and status", `
defaults: {from: customer, within: message, case: exact, accents: exact, status: shadow}
rules: [{tag: t, all: [A, é]}, {tag: u, from: agent, status: active, any: [A]}]`, []example{
			{[]string{"c: A É é"}, nil, "|t"}, {[]string{"c: A", "c: é", "a: a"}, nil, ""}, {[]string{"c: a é", "a: A"}, nil, "u"}, {[]string{"c: A e"}, nil, ""}}},
		{"without defaults a rule is for anyone, the chat, folded and active", `
rules: [{tag: t, all: [A, é]}]`, []example{{[]string{"c: a", "b: e"}, nil, "t"}, {[]string{"c: a"}, nil, ""}}},
		{"the example of the language", `
defaults: {from: anyone}
lists: {carriers: [dhl, ups, fedex]}
rules:
  - tag: refund
    any: [refund*, "money back", {regex: 'chargeback #\d+'}]
    none: ["refund policy"]
  - tag: late-delivery
    name: parcel-late
    from: customer
    within: message
    all: [{any: [parcel, package, {list: carriers}]}, {any: [late, delayed, "where is"]}]
  - tag: promised-callback
    from: agent
    any: [{canned: "We will call you back within %hours% hours."}]
  - tag: unsorted
    fallback: true`, []example{
			{[]string{"c: I want my MONEY-BACK", "a: Sure"}, nil, "refund"},
			{[]string{"c: what is your refund policy?"}, nil, "unsorted"},
			{[]string{"c: DHL is late", "a: We will call you back within 2 hours."}, nil, "late-delivery promised-callback"},
			{[]string{"c: where is it", "c: my parcel"}, nil, "unsorted"},
			{[]string{"a: where is the parcel"}, nil, "unsorted"},
			{[]string{"c: We will call you back within 2 hours."}, nil, "unsorted"}}},
	}
	for _, s := range sentences {
		t.Run(s.says, func(t *testing.T) {
			t.Parallel()
			set := mustParse(t, strings.TrimPrefix(s.rules, "\n")+"\n")
			for _, e := range s.examples {
				tr := chat(e.chat...)
				if e.with != nil {
					e.with(tr)
				}
				result := set.Match(tr)
				got := strings.Join(result.TagSet(), " ")
				if len(result.Shadow) > 0 {
					got += "|" + strings.Join(tagSet(result.Shadow), " ")
				}
				if got != e.want {
					t.Errorf("%q (groups %v, tagged %v, complete %v): got %q, want %q", e.chat, tr.Groups, tr.Tagged, tr.Complete, got, e.want)
				}
			}
			if !slices.ContainsFunc(s.examples, func(e example) bool { return e.want != "" }) ||
				!slices.ContainsFunc(s.examples, func(e example) bool { return e.want != s.examples[0].want }) {
				t.Error("a sentence needs two answers")
			}
		})
	}
}
