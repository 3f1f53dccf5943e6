package kernels

import (
	"fmt"
	"strings"
	"sync"
)

// Match is what the rules say about one kernel name.
type Match struct {
	Category
	// Rule is the id of the rule that took the name, empty when none did.
	Rule string
	Tags []string
	// Short is a readable short name for tables.
	Short string
}

// Classifier tells what kernels are. It is safe for concurrent use.
type Classifier struct {
	rules []Rule
	user  int // how many of rules are the user's, in front

	mu   sync.RWMutex
	memo map[string]Match
}

// maxMemo bounds the memory of a classifier over a stream of ever new names; a
// real trace has a few hundred.
const maxMemo = 1 << 16

// NewClassifier returns a classifier in which the user's rules come before the
// built-in ones.
func NewClassifier(user []Rule) (*Classifier, error) {
	c := &Classifier{memo: map[string]Match{}, user: len(user)}
	taken := map[string]bool{}
	for _, r := range builtin() {
		taken[r.ID] = true
	}
	for _, r := range user {
		if taken[r.ID] {
			return nil, fmt.Errorf("rule %q: the id belongs to another rule; give it its own so that reports can tell them apart", r.ID)
		}
		taken[r.ID] = true
		if r.re == nil {
			if err := r.compile(); err != nil {
				return nil, fmt.Errorf("rule %q: %w", r.ID, err)
			}
		}
		if _, err := ParseCategory(r.Category.String()); err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.ID, err)
		}
		c.rules = append(c.rules, r)
	}
	c.rules = append(c.rules, builtin()...)
	return c, nil
}

// Classify says what the kernel, copy or fill of this name is. The same name
// always gets the same answer.
func (c *Classifier) Classify(name string) Match {
	c.mu.RLock()
	m, ok := c.memo[name]
	c.mu.RUnlock()
	if ok {
		return m
	}
	m = c.decide(name)
	c.mu.Lock()
	if len(c.memo) < maxMemo {
		c.memo[strings.Clone(name)] = m
	}
	c.mu.Unlock()
	return m
}

func (c *Classifier) decide(name string) Match {
	n := Split(name)
	m := Match{Category: Unclassified, Short: n.Short()}
	for _, v := range views(&n) {
		for i := range c.rules {
			r := &c.rules[i]
			if v.find(r) != nil {
				m.Category, m.Rule, m.Tags = r.Category, r.ID, r.Tags
				return m
			}
		}
	}
	return m
}

// views are the readings of a name, in the order in which the rules see them:
// the name itself and, when no rule knows it, what its first type argument
// names, as if it were a launcher.
func views(n *Name) []*view {
	all := []*view{{name: n}}
	if n.Inner != nil || n.Template == "" {
		return all
	}
	arg := firstType(n.Template)
	inner := &Name{Raw: arg, Normal: arg}
	inner.take(arg)
	if arg == "" || inner.Base == "" {
		return all
	}
	return append(all, &view{name: inner, guess: true})
}

// find returns where the rule matches, nil if it does not.
func (v *view) find(r *Rule) []int {
	if v.guess && r.Group == "comm" {
		return nil // that a type is about communication does not make a kernel wait for peers
	}
	text := v.words(r.Scope)
	if text == "" || !r.mayMatch(text) {
		return nil
	}
	return r.re.FindStringIndex(text)
}

// maxWords bounds the text that patterns run over. Template arguments repeat
// themselves: what they say, they say early.
const maxWords = 4 << 10

// view holds the words of the parts of one name, made when first asked for.
type view struct {
	name  *Name
	guess bool // the name is only an argument of the kernel's
	cache [6]string
	made  [6]bool
}

func (v *view) words(scope string) string {
	for i, s := range scopes {
		if s != scope {
			continue
		}
		if !v.made[i] {
			v.cache[i], v.made[i] = spell(v.text(scope)), true
		}
		return v.cache[i]
	}
	return ""
}

// text is the part of the name that a scope means, in the spelling of the
// normal name.
func (v *view) text(scope string) string {
	n := v.name.effective()
	var text string
	switch scope {
	case ScopeBase:
		text = n.Base
	case ScopePath:
		text = strings.Join(n.Path, "::")
	case ScopeQualified:
		text = n.qualified()
	case ScopeTemplate:
		text = n.Template
	case ScopeFirst:
		text = firstType(v.name.Template)
	case ScopeWhole:
		text = n.qualified()
		if n.Template != "" {
			text += "<" + n.Template
		}
	}
	if len(text) > maxWords {
		text = text[:maxWords]
	}
	return text
}

func (n *Name) qualified() string {
	if len(n.Path) == 0 {
		return n.Base
	}
	return strings.Join(n.Path, "::") + "::" + n.Base
}
