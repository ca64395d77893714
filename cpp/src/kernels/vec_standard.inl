// Included by vec.hpp: the same types and operations in plain C++17, for compilers without vector extensions.
template <class T, int kCount>
struct Lanes {
  T v[kCount];
  T& operator[](int i) { return v[i]; }
  const T& operator[](int i) const { return v[i]; }
};

using Floats = Lanes<float, kLanes>;
using Ints = Lanes<int32_t, kLanes>;
using Words = Lanes<uint32_t, kLanes>;
using Wides = Lanes<uint64_t, kLanes / 2>;
using Doubles = Lanes<double, kLanes / 2>;

template <class R, int kCount, class F>
LMAPS_INLINE Lanes<R, kCount> each(const F& f) {
  Lanes<R, kCount> r;
  for (int i = 0; i < kCount; ++i) r.v[i] = f(i);
  return r;
}

#define LMAPS_OPERATOR(RESULT, OP)                                                                   \
  template <class T, int N>                                                                          \
  LMAPS_INLINE Lanes<RESULT, N> operator OP(const Lanes<T, N>& a, const Lanes<T, N>& b) {            \
    return each<RESULT, N>([&](int i) { return static_cast<RESULT>(a.v[i] OP b.v[i]); });            \
  }                                                                                                  \
  template <class T, int N, class S>                                                                 \
  LMAPS_INLINE Lanes<RESULT, N> operator OP(const Lanes<T, N>& a, S b) {                             \
    return each<RESULT, N>([&](int i) { return static_cast<RESULT>(a.v[i] OP static_cast<T>(b)); }); \
  }                                                                                                  \
  template <class T, int N, class S>                                                                 \
  LMAPS_INLINE Lanes<RESULT, N> operator OP(S a, const Lanes<T, N>& b) {                             \
    return each<RESULT, N>([&](int i) { return static_cast<RESULT>(static_cast<T>(a) OP b.v[i]); }); \
  }
LMAPS_OPERATOR(T, +)
LMAPS_OPERATOR(T, -)
LMAPS_OPERATOR(T, *)
LMAPS_OPERATOR(T, /)
LMAPS_OPERATOR(T, &)
LMAPS_OPERATOR(T, |)
LMAPS_OPERATOR(T, ^)
LMAPS_OPERATOR(T, >>)
LMAPS_OPERATOR(T, <<)
LMAPS_OPERATOR(int32_t, <)
LMAPS_OPERATOR(int32_t, >)
LMAPS_OPERATOR(int32_t, <=)
LMAPS_OPERATOR(int32_t, >=)
LMAPS_OPERATOR(int32_t, ==)
#undef LMAPS_OPERATOR

LMAPS_INLINE Floats operator-(const Floats& a) {
  return each<float, kLanes>([&](int i) { return -a.v[i]; });
}

LMAPS_INLINE Floats select(Ints mask, Floats a, Floats b) {
  return each<float, kLanes>([&](int i) { return mask.v[i] ? a.v[i] : b.v[i]; });
}

template <class To, class From>
LMAPS_INLINE To reinterpret(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

LMAPS_INLINE Floats as_floats(Words v) { return reinterpret<Floats>(v); }
LMAPS_INLINE Words as_words(Floats v) { return reinterpret<Words>(v); }
LMAPS_INLINE Words as_words(Wides v) { return reinterpret<Words>(v); }
LMAPS_INLINE Wides as_wides(Words v) { return reinterpret<Wides>(v); }

LMAPS_INLINE Floats to_floats(Words v) {
  return each<float, kLanes>([&](int i) { return static_cast<float>(static_cast<int32_t>(v.v[i])); });
}

LMAPS_INLINE Words to_words(Floats v) {
  return each<uint32_t, kLanes>([&](int i) { return static_cast<uint32_t>(static_cast<int32_t>(v.v[i])); });
}

LMAPS_INLINE Floats minimum(Floats a, Floats b) { return select(a < b, a, b); }
LMAPS_INLINE Floats maximum(Floats a, Floats b) { return select(a > b, a, b); }

LMAPS_INLINE Floats square_root(Floats v) {
  return each<float, kLanes>([&](int i) { return sqrtf(v.v[i]); });
}

LMAPS_INLINE Floats round_even(Floats v) {
  return each<float, kLanes>([&](int i) { return nearbyintf(v.v[i]); });
}

LMAPS_INLINE Floats round_down(Floats v) {
  return each<float, kLanes>([&](int i) { return floorf(v.v[i]); });
}

LMAPS_INLINE Wides multiply_low_halves(Wides a, Wides b) { return (a & 0xFFFFFFFFull) * (b & 0xFFFFFFFFull); }

struct Pair {
  Floats first, second;
};

LMAPS_INLINE Pair interleave(Floats a, Floats b) {
  Pair pair;
  for (int i = 0; i < kLanes; ++i) {
    Floats& half = i < kLanes / 2 ? pair.first : pair.second;
    const int at = 2 * (i % (kLanes / 2));
    half.v[at] = a.v[i];
    half.v[at + 1] = b.v[i];
  }
  return pair;
}

LMAPS_INLINE Pair separate(Floats a, Floats b) {
  Pair pair;
  for (int i = 0; i < kLanes; ++i) {
    const Floats& half = i < kLanes / 2 ? a : b;
    const int at = 2 * (i % (kLanes / 2));
    pair.first.v[i] = half.v[at];
    pair.second.v[i] = half.v[at + 1];
  }
  return pair;
}
