#!/bin/sh
# The English checkpoint from the raw data, from the root of the repository:
#
#     sh recipes/english/make.sh CORPORA VOICES
#
# CORPORA has the folders an4, fsdd, speechocean762 and librispeech-dev-clean (any part of it), VOICES
# Kokoro's voices (recipes/synthetic/kokoro.py). flite, eSpeak NG and `pip install 'ctc-asr[neural]'`
# are needed too. Ten hours of two cores; what is finished is not made again, but for tuning.
set -eu
corpora=$1 voices=$2
digits=ZERO,ONE,TWO,THREE,FOUR,FIVE,SIX,SEVEN,EIGHT,NINE

unless() { # FILE COMMAND...: run the command where the file is missing
    file=$1
    shift
    if [ ! -e "$file" ]; then "$@"; fi
}
synthesise="python -m recipes.synthetic.prepare train"
# Two processes of one thread are faster than one of two: each reads and augments for itself.
train="torchrun --nproc_per_node 2 -m"

# Corpora
unless data/an4/train.jsonl python -m recipes.an4.prepare --source "$corpora/an4"
unless data/fsdd/train.jsonl python -m recipes.fsdd.prepare --source "$corpora/fsdd"
unless data/speechocean762/train.jsonl \
    python -m recipes.speechocean762.prepare --source "$corpora/speechocean762"
unless data/librispeech/manifest.jsonl \
    asr import librispeech "$corpora/librispeech-dev-clean" -o data/librispeech/manifest.jsonl

# Letters, digits and numbers, and the model that learns these
unless data/an4-spliced-all/manifest.jsonl python -m recipes.an4.splice checkpoints/an4-blstm \
    data/an4/train.jsonl data/an4/dev.jsonl --utterances 1900 -o data/an4-spliced-all
unless data/an4-spliced/manifest.jsonl python -m recipes.an4.splice checkpoints/an4-blstm \
    data/an4/train.jsonl --utterances 1700 -o data/an4-spliced
unless data/borrowed-digits/manifest.jsonl python -m recipes.fsdd.borrow checkpoints/an4-blstm \
    data/an4/train.jsonl data/an4/dev.jsonl data/speechocean762/train.jsonl
unless data/synthetic/manifest.jsonl $synthesise --utterances 2500 --seed 1 -o data/synthetic
unless data/synthetic-digits/manifest.jsonl \
    $synthesise --words $digits --utterances 2400 --seed 7 -o data/synthetic-digits
unless data/accented-digits/manifest.jsonl \
    $synthesise --words $digits --utterances 1500 --seed 8 --accents -o data/accented-digits
unless data/alphanumeric/train.jsonl python -m recipes.alphanumeric.prepare
unless runs/alphanumeric-left-out/checkpoint \
    $train recipes.alphanumeric.left_out -o runs/alphanumeric-left-out --threads 1
unless runs/alphanumeric/checkpoint \
    $train recipes.alphanumeric.train -o runs/alphanumeric --threads 1

# Sentences, commands, neural voices
unless data/english/sentences.jsonl python -m recipes.english.sentences
unless data/english/phrases.txt python -m recipes.english.phrases data/english/sentences.jsonl
commands=$(python -c "from recipes.english.phrases import COMMAND_WORDS; print(','.join(COMMAND_WORDS))")
unless data/synthetic-commands/manifest.jsonl \
    $synthesise --words "$commands" --utterances 1500 --seed 9 -o data/synthetic-commands
unless data/neural/manifest.jsonl python -m recipes.synthetic.neural data/english/phrases.txt \
    --voices "$voices" --utterances 1300 --processes 2 -o data/neural

unless data/words/manifest.jsonl python -m recipes.cut runs/alphanumeric/checkpoint \
    data/english/sentences.jsonl -o data/words
unless data/english/train.jsonl python -m recipes.english.prepare

# The model
unless runs/english-first/checkpoint \
    $train recipes.english.first -o runs/english-first --threads 1
unless runs/english-quiet/checkpoint \
    $train recipes.english.train -o runs/english-quiet --threads 1
unless runs/english-robust/checkpoint \
    $train recipes.english.robust -o runs/english-robust --threads 1
unless data/words-again/manifest.jsonl python -m recipes.cut runs/english-robust/checkpoint \
    data/english/sentences.jsonl --confidence 0.3 -o data/words-again
unless data/english-again/train.jsonl \
    python -m recipes.english.prepare -o data/english-again --words data/words-again
unless data/english-again/trimmed.jsonl \
    asr trim data/english-again/train.jsonl -o data/english-again/trimmed.jsonl
unless runs/english/checkpoint $train recipes.english.again -o runs/english --threads 1
tr a A < data/english/phrases.txt > data/english/texts.txt
unless data/english/lm.arpa.gz asr lm train data/english/texts.txt data/english/sentences.jsonl \
    data/alphanumeric/language.jsonl -o data/english/lm.arpa.gz
asr tune runs/english/checkpoint data/english-again/dev.jsonl --lm data/english/lm.arpa.gz

# Its threshold of rejection
unless data/english/spoken/manifest.jsonl python -m recipes.english.spoken
unless data/words-held-out/manifest.jsonl python -m recipes.cut runs/english/checkpoint \
    data/english/held_out.jsonl --confidence 0.3 -o data/words-held-out
unless data/english/list/others.jsonl \
    python -m recipes.english.word_list data/words-held-out/manifest.jsonl
python -m recipes.english.judge runs/english/checkpoint recipes/english/commands.txt \
    data/english/spoken/manifest.jsonl data/english/list/others.jsonl --rejected 0.03 --keep
