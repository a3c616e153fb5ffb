package stripe

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

var errAmount = errors.New("amount has more decimals than its currency allows, or is too large")

// minorUnits returns amount in the smallest unit of currency, as Stripe wants
// it. It never rounds: money that does not fit is an error.
func minorUnits(amount *big.Rat, currency string) (int64, error) {
	units, step := unitsOf(currency)
	minor := new(big.Rat).Mul(amount, big.NewRat(units, 1))
	if !minor.IsInt() || !minor.Num().IsInt64() || minor.Num().Int64()%step != 0 {
		return 0, fmt.Errorf("%s: %w", strings.ToLower(currency), errAmount)
	}
	return minor.Num().Int64(), nil
}

// unitsOf returns how many minor units make one of currency, and what every
// amount must be a multiple of. Stripe keeps two decimals for ISK and UGX,
// which have none, and wants the last of three decimals to be 0.
func unitsOf(currency string) (units, step int64) {
	switch strings.ToUpper(currency) {
	case "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF":
		return 1, 1
	case "ISK", "UGX":
		return 100, 100
	case "BHD", "JOD", "KWD", "OMR", "TND":
		return 1000, 10
	}
	return 100, 1
}
