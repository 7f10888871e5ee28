package rules

import "testing"

// Texts made to mislead: what looks alike, what is joined or cut where nobody
// sees it, and forms of letters that few people type.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		term     string // YAML
		finds    []string
		not      []string
		markdown bool
	}{
		{term: "app", finds: []string{"hap-app", "app\u0301", "\u200fapp\u200f"}, not: []string{"\u00adh\u00adapp", "apрx", "аpp", "אapp"}},
		{term: "apple", finds: []string{"Apple™®", "apple℠", "①apple"}, not: []string{"Appleⅰ", "apple𝐬"}},
		{term: "'½'", finds: []string{"1½ cups"}, not: []string{"1/2", "1⁄2"}},
		{term: "'1'", finds: []string{"1½", "①1", "#1"}, not: []string{"1️⃣", "1\u00ad0", "１０"}},
		{term: "'100'", finds: []string{"１００", "100.a", "100:50", "１００．"}, not: []string{"1，１００", "1\u00ad,\u200b100", "v100", "100\u2060.5"}},
		{term: "'1.5'", finds: []string{"1.5.", "$1.5", "(1.5)"}, not: []string{"1.5.2", "11.5", "1,5"}},
		{term: "'#1'", finds: []string{"we're #1!"}, not: []string{"#1.5", "#1️⃣"}},
		{term: ".NET", finds: []string{"ASP.NET", "the .net!", "．NET"}, not: []string{".network", "net"}},
		{term: "US$100", finds: []string{"US$100.", "us＄100"}, not: []string{"AUS$100", "US$100.00"}},
		{term: "can", finds: []string{"can'tx", "can 't"}, not: []string{"CAN’T", "canʼt", "ｃａｎ＇ｔ", "can\u00ad't", "ca\u200bn`t"}},
		{term: "n", finds: []string{"rock'n'roll", "n't"}, not: []string{"isn't"}},
		{term: "o'neil", finds: []string{"O`Neil", "O’NEIL's"}, not: []string{"oneil", "o neil"}},
		{term: "thank you", finds: []string{"thank\u2003\u2009you", "thank\u2028you", "thank \u200b you", "«thank you»"}, not: []string{"thank\u200byou", "thank_you"}},
		{term: "e-mail", finds: []string{"e\u2011mail", "e \u00a0\u2013\u00a0mail", "e־mail", "e﹣mail"}, not: []string{"e\u00admail", "e·mail"}},
		{term: "refund*", finds: []string{"re\u00adfund\u00ading", "refund-policy", "ＲＥＦＵＮＤＥＤ", "refundação"}, not: []string{"refu*nd", "_prefund"}},
		{term: "'refund* me'", finds: []string{"refunding\nme", "refund - me"}, not: []string{"refund's me", "refundme"}},
		{term: "istanbul", finds: []string{"İSTANBUL", "ıstanbul", "i\u0307stanbul"}, not: []string{"lstanbul"}},
		{term: "{word: i, accents: exact}", finds: []string{"I", "ı"}, not: []string{"İ", "í"}},
		{term: "{word: σας, case: exact}", finds: []string{"σας"}, not: []string{"σασ", "ΣΑΣ"}},
		{term: "{word: STRASSE, case: exact}", finds: []string{"STRASSE"}, not: []string{"STRAẞE", "Straße"}},
		{term: "{word: fix, case: exact, accents: exact}", finds: []string{"ﬁx", "ｆix", "𝖿ix"}, not: []string{"ﬁX", "fíx"}},
		{term: "{word: müller, accents: exact}", finds: []string{"MU\u0308LLER"}, not: []string{"Muller", "mu\u0301ller", "Mueller"}},
		{term: "ガ", finds: []string{"ｶﾞ", "カ\u3099"}, not: []string{"カ゛", "ｶ", "が"}},
		{term: "パ", finds: []string{"ﾊﾟ", "ハ\u309a"}, not: []string{"ハ", "バ"}},
		{term: "コピー", finds: []string{"ｺﾋﾟｰ", "コピーする"}, not: []string{"コピ"}},
		{term: "환", finds: []string{"\u1112\u116a\u11ab불"}, not: []string{"화ㄴ", "\u1112\u116a"}},
		{term: "ไม", finds: []string{"ไมตรี"}, not: []string{"ไม่"}},
		{term: "كتاب", finds: []string{"كِتَـــاب", "ﻛﺘﺎﺏ"}, not: []string{"الكتاب", "كتابي"}},
		{term: "हिन्दी", finds: []string{"हिन्\u200dदी में"}, not: []string{"हिन्द"}},
		{term: "'24小时'", finds: []string{"要24小时吗", "２４小时"}, not: []string{"124小时", "1.24小时"}},
		{term: "❤", finds: []string{"❤️", "x❤︎"}, not: []string{"❤️‍🔥", "💔"}},
		{term: "🇸🇪", finds: []string{"🇺🇸🇸🇪"}, not: []string{"🇺🇸🇪🇺", "🇸"}},
		{term: "1️⃣", finds: []string{"11️⃣", "1⃣"}, not: []string{"1", "#️⃣"}},
		{term: "👨‍💻", finds: []string{"👨🏿‍💻👨‍💻", "a👨‍💻a"}, not: []string{"👨💻", "👩‍💻"}},
		{term: "'<3'", finds: []string{"i <3 you", "＜3"}, not: []string{"<33", "< 3"}},
		{term: "{contains: y b}", finds: []string{"money—back", "money\u00a0–\u00a0back"}, not: []string{"moneyback", "money. back"}},
		{term: "{regex: 'a|B'}", finds: []string{"xb", "A"}, not: []string{"c"}},
		{term: "{regex: '(?m)^refund$'}", finds: []string{"a\nrefund"}, not: []string{"a refund"}},
		{term: "{canned: 'Hello %name%, bye'}", finds: []string{"hello a\n\nb, bye", "Hello , bye", "Hello %name%, bye"}, not: []string{"x Hello a, bye", "Hello, bye", "Hello a, bye."}},
		{term: "{canned: '%a%%b% x'}", finds: []string{"q x", "x"}, not: []string{"q xy"}},
		{term: "money back", markdown: true,
			finds: []string{"- money\n- back", "money&nbsp;back", "mo**ney** back", "[money](http://x.example \"no\") back"},
			not:   []string{"money \\- . back", "<!-- money back -->", "[x](http://money-back.example)"}},
		{term: "don't", markdown: true, finds: []string{"don&rsquo;t", "don&#39;t", "don\\'t"}, not: []string{"don&amp;t"}},
	} {
		t.Run(test.term, func(t *testing.T) {
			t.Parallel()
			set := mustParse(t, termRule(test.term))
			who := "c: "
			if test.markdown {
				who = "cm: "
			}
			for _, text := range test.finds {
				if len(set.Match(chat(who+text)).Tags) != 1 {
					t.Errorf("not found in %+q", text)
				}
			}
			for _, text := range test.not {
				if len(set.Match(chat(who+text)).Tags) != 0 {
					t.Errorf("found in %+q", text)
				}
			}
		})
	}
}
