module holdfast.internal

go 1.26
