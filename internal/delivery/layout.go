package delivery

import (
	"holdfast.internal/internal/topics"
)

// slotSource is the slot of the source topic; the tiers follow, then the
// redrive topic and, with on_dead_letter: park, the dead letters.
const slotSource = 0

// layout numbers the topics of a sink, so that an entry can name its topic in
// five bits.
type layout struct {
	names   []string // by slot
	slots   map[string]int
	tiers   int
	letters int // slot of the dead letters, -1 where nobody waits behind them
}

func newLayout(cfg Config) layout {
	l := layout{tiers: len(cfg.Tiers), letters: slotLetters}
	l.names = append(l.names, cfg.Source)
	for _, d := range cfg.Tiers {
		l.names = append(l.names, topics.Retry(cfg.Sink, d))
	}
	l.names = append(l.names, topics.Redrive(cfg.Sink))
	if cfg.Park {
		l.letters = len(l.names)
		l.names = append(l.names, topics.DeadLetters(cfg.Sink))
	}
	l.slots = make(map[string]int, len(l.names))
	for slot, name := range l.names {
		l.slots[name] = slot
	}
	return l
}

// tier returns the tier of a slot, -1 for what is none.
func (l layout) tier(slot int) int {
	if slot > slotSource && slot <= l.tiers {
		return slot - 1
	}
	return -1
}

// tierSlot is the inverse of tier.
func (l layout) tierSlot(tier int) int { return tier + 1 }

// waiting are the topics whose records wait to be sent again: tiers and redrive.
func (l layout) waiting() []string { return l.names[slotSource+1 : l.tierSlot(l.tiers)+1] }

func (l layout) isLetters(topic string) bool { return l.letters >= 0 && l.names[l.letters] == topic }
