package report

var (
	Duration = duration
	Size     = size
	Each     = each
	Three    = three
	Times    = times
)
