/* Printed from microbp/rules.py by microbp/native/rows.py: change the table, not this file.

   A(p) is the argument at place p, E(p) that of the element the loop is at, Y the value; GIVE states a value,
   PASS what a local derivative passes on to the argument at a place;
   REST_AGAIN adds up what the value added up. */

#define TABLE_DIGEST "e4a3f8875627c6ec"

/* Each row: its name, single arguments, lists, whether it may be undefined. */
#define ROWS(ROW) \
    ROW(add, 2, 0, 0) \
    ROW(sub, 2, 0, 0) \
    ROW(mul, 2, 0, 0) \
    ROW(div, 2, 0, 1) \
    ROW(neg, 1, 0, 0) \
    ROW(exp, 1, 0, 1) \
    ROW(expm1, 1, 0, 1) \
    ROW(log, 1, 0, 1) \
    ROW(log1p, 1, 0, 1) \
    ROW(sin, 1, 0, 1) \
    ROW(cos, 1, 0, 1) \
    ROW(tan, 1, 0, 1) \
    ROW(atan, 1, 0, 0) \
    ROW(sinh, 1, 0, 1) \
    ROW(cosh, 1, 0, 1) \
    ROW(erf, 1, 0, 0) \
    ROW(erfc, 1, 0, 0) \
    ROW(abs, 1, 0, 0) \
    ROW(relu, 1, 0, 0) \
    ROW(sqrt, 1, 0, 1) \
    ROW(asin, 1, 0, 1) \
    ROW(acos, 1, 0, 1) \
    ROW(pow, 2, 0, 1) \
    ROW(sigmoid, 1, 0, 0) \
    ROW(tanh, 1, 0, 0) \
    ROW(softplus, 1, 0, 0) \
    ROW(silu, 1, 0, 0) \
    ROW(gelu, 1, 0, 0) \
    ROW(leaky_relu, 2, 0, 0) \
    ROW(elu, 2, 0, 0) \
    ROW(minimum, 2, 0, 0) \
    ROW(maximum, 2, 0, 0) \
    ROW(clip, 3, 0, 0) \
    ROW(select, 3, 0, 0) \
    ROW(sum, 0, 1, 0) \
    ROW(dot, 1, 2, 0) \
    ROW(max, 0, 1, 0) \
    ROW(logsumexp, 0, 1, 0) \
    ROW(cross_entropy, 0, 2, 0)

#ifdef VALUE

/* The library's functions, for those that the machine does not define itself. */
#ifndef abs_
#define abs_ fabs
#endif
#ifndef acos_
#ifdef CHECKED
#define acos_(x) CHECKED(acos, x)
#else
#define acos_ acos
#endif
#endif
#ifndef asin_
#ifdef CHECKED
#define asin_(x) CHECKED(asin, x)
#else
#define asin_ asin
#endif
#endif
#ifndef atan_
#define atan_ atan
#endif
#ifndef cos_
#ifdef CHECKED
#define cos_(x) CHECKED(cos, x)
#else
#define cos_ cos
#endif
#endif
#ifndef cosh_
#ifdef CHECKED
#define cosh_(x) CHECKED(cosh, x)
#else
#define cosh_ cosh
#endif
#endif
#ifndef erf_
#define erf_ erf
#endif
#ifndef erfc_
#define erfc_ erfc
#endif
#ifndef exp_
#ifdef CHECKED
#define exp_(x) CHECKED(exp, x)
#else
#define exp_ exp
#endif
#endif
#ifndef expm1_
#ifdef CHECKED
#define expm1_(x) CHECKED(expm1, x)
#else
#define expm1_ expm1
#endif
#endif
#ifndef log_
#ifdef CHECKED
#define log_(x) CHECKED(log, x)
#else
#define log_ log
#endif
#endif
#ifndef log1p_
#ifdef CHECKED
#define log1p_(x) CHECKED(log1p, x)
#else
#define log1p_ log1p
#endif
#endif
#ifndef sin_
#ifdef CHECKED
#define sin_(x) CHECKED(sin, x)
#else
#define sin_ sin
#endif
#endif
#ifndef sinh_
#ifdef CHECKED
#define sinh_(x) CHECKED(sinh, x)
#else
#define sinh_ sinh
#endif
#endif
#ifndef sqrt_
#ifdef CHECKED
#define sqrt_(x) CHECKED(sqrt, x)
#else
#define sqrt_ sqrt
#endif
#endif
#ifndef tan_
#ifdef CHECKED
#define tan_(x) CHECKED(tan, x)
#else
#define tan_ tan
#endif
#endif
#ifndef tanh_
#define tanh_ tanh
#endif

/* add(a, b) = a + b */
VALUE(add) {
    GIVE((A(0) + A(1)))
}
SLOPE(add, 0) {
    PASS(0, 1.0)
}
SLOPE(add, 1) {
    PASS(1, 1.0)
}
SLOPES(add) {
    TAKES(add, 1)
    TAKES(add, 0)
}

/* sub(a, b) = a - b */
VALUE(sub) {
    GIVE((A(0) - A(1)))
}
SLOPE(sub, 0) {
    PASS(0, 1.0)
}
SLOPE(sub, 1) {
    PASS(1, (-1.0))
}
SLOPES(sub) {
    TAKES(sub, 1)
    TAKES(sub, 0)
}

/* mul(a, b) = a * b */
VALUE(mul) {
    GIVE((A(0) * A(1)))
}
SLOPE(mul, 0) {
    PASS(0, A(1))
}
SLOPE(mul, 1) {
    PASS(1, A(0))
}
SLOPES(mul) {
    TAKES(mul, 1)
    TAKES(mul, 0)
}

/* div(a, b) = a / b */
VALUE(div) {
    GIVE(div_(A(0), A(1)))
}
SLOPE(div, 0) {
    PASS(0, div_(1.0, A(1)))
}
SLOPE(div, 1) {
    PASS(1, div_((-Y), A(1)))
}
SLOPES(div) {
    TAKES(div, 1)
    TAKES(div, 0)
}

/* neg(a) = -a */
VALUE(neg) {
    GIVE((-A(0)))
}
SLOPE(neg, 0) {
    PASS(0, (-1.0))
}
SLOPES(neg) {
    TAKES(neg, 0)
}

/* exp(a) = exp(a) */
VALUE(exp) {
    GIVE(exp_(A(0)))
}
SLOPE(exp, 0) {
    PASS(0, Y)
}
SLOPES(exp) {
    TAKES(exp, 0)
}

/* expm1(a) = expm1(a) */
VALUE(expm1) {
    GIVE(expm1_(A(0)))
}
SLOPE(expm1, 0) {
    PASS(0, exp_(A(0)))
}
SLOPES(expm1) {
    TAKES(expm1, 0)
}

/* log(a) = log(a) */
VALUE(log) {
    GIVE(log_(A(0)))
}
SLOPE(log, 0) {
    PASS(0, div_(1.0, A(0)))
}
SLOPES(log) {
    TAKES(log, 0)
}

/* log1p(a) = log1p(a) */
VALUE(log1p) {
    GIVE(log1p_(A(0)))
}
SLOPE(log1p, 0) {
    PASS(0, div_(1.0, (1.0 + A(0))))
}
SLOPES(log1p) {
    TAKES(log1p, 0)
}

/* sin(a) = sin(a) */
VALUE(sin) {
    GIVE(sin_(A(0)))
}
SLOPE(sin, 0) {
    PASS(0, cos_(A(0)))
}
SLOPES(sin) {
    TAKES(sin, 0)
}

/* cos(a) = cos(a) */
VALUE(cos) {
    GIVE(cos_(A(0)))
}
SLOPE(cos, 0) {
    PASS(0, (-sin_(A(0))))
}
SLOPES(cos) {
    TAKES(cos, 0)
}

/* tan(a) = tan(a) */
VALUE(tan) {
    GIVE(tan_(A(0)))
}
SLOPE(tan, 0) {
    PASS(0, (1.0 + (Y * Y)))
}
SLOPES(tan) {
    TAKES(tan, 0)
}

/* atan(a) = atan(a) */
VALUE(atan) {
    GIVE(atan_(A(0)))
}
SLOPE(atan, 0) {
    PASS(0, div_(1.0, (1.0 + (A(0) * A(0)))))
}
SLOPES(atan) {
    TAKES(atan, 0)
}

/* sinh(a) = sinh(a) */
VALUE(sinh) {
    GIVE(sinh_(A(0)))
}
SLOPE(sinh, 0) {
    PASS(0, cosh_(A(0)))
}
SLOPES(sinh) {
    TAKES(sinh, 0)
}

/* cosh(a) = cosh(a) */
VALUE(cosh) {
    GIVE(cosh_(A(0)))
}
SLOPE(cosh, 0) {
    PASS(0, sinh_(A(0)))
}
SLOPES(cosh) {
    TAKES(cosh, 0)
}

/* erf(a) = erf(a) */
VALUE(erf) {
    GIVE(erf_(A(0)))
}
SLOPE(erf, 0) {
    PASS(0, (div_(2.0, sqrt_(3.141592653589793)) * exp_(((-A(0)) * A(0)))))
}
SLOPES(erf) {
    TAKES(erf, 0)
}

/* erfc(a) = erfc(a) */
VALUE(erfc) {
    GIVE(erfc_(A(0)))
}
SLOPE(erfc, 0) {
    PASS(0, (div_((-2.0), sqrt_(3.141592653589793)) * exp_(((-A(0)) * A(0)))))
}
SLOPES(erfc) {
    TAKES(erfc, 0)
}

/* abs(a) = abs(a) */
VALUE(abs) {
    GIVE(abs_(A(0)))
}
SLOPE(abs, 0) {
    PASS(0, ((A(0) > 0.0) ? 1.0 : ((A(0) < 0.0) ? (-1.0) : ((A(0) == 0.0) ? 0.0 : NAN))))
}
SLOPES(abs) {
    TAKES(abs, 0)
}

/* relu(a) = 0.0 if a <= 0.0 else a */
VALUE(relu) {
    GIVE(((A(0) <= 0.0) ? 0.0 : A(0)))
}
SLOPE(relu, 0) {
    PASS(0, ((A(0) <= 0.0) ? 0.0 : ((A(0) > 0.0) ? 1.0 : NAN)))
}
SLOPES(relu) {
    TAKES(relu, 0)
}

/* sqrt(a) = sqrt(a) */
VALUE(sqrt) {
    GIVE(sqrt_(A(0)))
}
SLOPE(sqrt, 0) {
    PASS(0, ((A(0) == 0.0) ? INFINITY : div_(0.5, Y)))
}
SLOPES(sqrt) {
    TAKES(sqrt, 0)
}

/* asin(a) = asin(a) */
VALUE(asin) {
    GIVE(asin_(A(0)))
}
SLOPE(asin, 0) {
    PASS_IF(0, (abs_(A(0)) == 1.0), INFINITY, div_(1.0, sqrt_(((1.0 - A(0)) * (1.0 + A(0))))))
}
SLOPES(asin) {
    TAKES(asin, 0)
}

/* acos(a) = acos(a) */
VALUE(acos) {
    GIVE(acos_(A(0)))
}
SLOPE(acos, 0) {
    PASS_IF(0, (abs_(A(0)) == 1.0), (-INFINITY), div_((-1.0), sqrt_(((1.0 - A(0)) * (1.0 + A(0))))))
}
SLOPES(acos) {
    TAKES(acos, 0)
}

/* pow(a, b) = pow(a, b) */
VALUE(pow) {
    GIVE(pow_(A(0), A(1)))
}
SLOPE(pow, 0) {
    PASS_IF(0, (((A(1) >= 1.0) AND (A(1) < 9000000000000000.0)) OR ((A(1) != 0.0) AND (A(0) > 0.0)) OR ((A(1) != 0.0) AND (A(0) < 0.0) AND (abs_(A(1)) < 9000000000000000.0))), (A(1) * pow_(A(0), (A(1) - 1.0))), ((A(0) != A(0)) ? NAN : (((A(1) == 0.0) OR ((A(0) == 0.0) AND (A(1) > 1.0))) ? 0.0 : ((A(0) < 0.0) ? (A(1) * div_(Y, A(0))) : ((A(1) < 1.0) ? INFINITY : NAN)))))
}
SLOPE(pow, 1) {
    PASS_IF(1, (A(0) > 0.0), (Y * log_(A(0))), (((A(0) == 0.0) AND (A(1) == A(1))) ? 0.0 : NAN))
}
SLOPES(pow) {
    TAKES(pow, 1)
    TAKES(pow, 0)
}

/* sigmoid(a) = 1.0 / (1.0 + exp(-a)) if a > -700.0 else exp(a) */
VALUE(sigmoid) {
    GIVE_IF((A(0) > (-700.0)), div_(1.0, (1.0 + exp_((-A(0))))), exp_(A(0)))
}
SLOPE(sigmoid, 0) {
    PASS_IF(0, (A(0) < 5.0), (Y * (1.0 - Y)), ((exp_((-A(0))) * Y) * Y))
}
SLOPES(sigmoid) {
    TAKES(sigmoid, 0)
}

/* tanh(a) = tanh(a) */
VALUE(tanh) {
    GIVE(tanh_(A(0)))
}
SLOPE(tanh, 0) {
    PASS_IF(0, (abs_(A(0)) < 2.0), (1.0 - (Y * Y)), div_((4.0 * exp_(((-2.0) * abs_(A(0))))), pow_((1.0 + exp_(((-2.0) * abs_(A(0))))), 2.0)))
}
SLOPES(tanh) {
    TAKES(tanh, 0)
}

/* softplus(a) = a + log1p(exp(-a)) if a > 0.0 else log1p(exp(a)) */
VALUE(softplus) {
    GIVE_IF((A(0) > 0.0), (A(0) + log1p_(exp_((-A(0))))), log1p_(exp_(A(0))))
}
SLOPE(softplus, 0) {
    PASS_IF(0, (A(0) > (-700.0)), div_(1.0, (1.0 + exp_((-A(0))))), exp_(A(0)))
}
SLOPES(softplus) {
    TAKES(softplus, 0)
}

/* silu(a) = a / (1.0 + exp(-a)) if a > -700.0 else 0.0 if a == -inf else a * exp(0.5 * a) * exp(0.5 * a) */
VALUE(silu) {
    GIVE_IF((A(0) > (-700.0)), div_(A(0), (1.0 + exp_((-A(0))))), ((A(0) == (-INFINITY)) ? 0.0 : ((A(0) * exp_((0.5 * A(0)))) * exp_((0.5 * A(0))))))
}
SLOPE(silu, 0) {
    PASS_IF(0, (A(0) > 800.0), 1.0, ((A(0) > (-700.0)) ? div_((1.0 + div_((A(0) * exp_((-A(0)))), (1.0 + exp_((-A(0)))))), (1.0 + exp_((-A(0))))) : ((A(0) == (-INFINITY)) ? 0.0 : (((1.0 + A(0)) * exp_((0.5 * A(0)))) * exp_((0.5 * A(0)))))))
}
SLOPES(silu) {
    TAKES(silu, 0)
}

/* gelu(a) = 0.0 if a < -40.0 else 0.5 * a * erfc(-a / sqrt(2.0)) */
VALUE(gelu) {
    GIVE_IF((A(0) < (-40.0)), 0.0, ((0.5 * A(0)) * erfc_(div_((-A(0)), sqrt_(2.0)))))
}
SLOPE(gelu, 0) {
    PASS_IF(0, (A(0) < (-40.0)), 0.0, ((A(0) > 40.0) ? 1.0 : ((0.5 * erfc_(div_((-A(0)), sqrt_(2.0)))) + div_((A(0) * exp_((((-0.5) * A(0)) * A(0)))), sqrt_((2.0 * 3.141592653589793))))))
}
SLOPES(gelu) {
    TAKES(gelu, 0)
}

/* leaky_relu(a, s) = a if a > 0.0 else s * a */
VALUE(leaky_relu) {
    GIVE(((A(0) > 0.0) ? A(0) : (A(1) * A(0))))
}
SLOPE(leaky_relu, 0) {
    PASS(0, ((A(0) > 0.0) ? 1.0 : ((A(0) <= 0.0) ? A(1) : NAN)))
}
SLOPE(leaky_relu, 1) {
    PASS(1, ((A(0) > 0.0) ? 0.0 : ((A(0) <= 0.0) ? A(0) : NAN)))
}
SLOPES(leaky_relu) {
    TAKES(leaky_relu, 1)
    TAKES(leaky_relu, 0)
}

/* elu(a, s) = a if a > 0.0 else s * expm1(a) */
VALUE(elu) {
    GIVE_IF((A(0) > 0.0), A(0), (A(1) * expm1_(A(0))))
}
SLOPE(elu, 0) {
    PASS_IF(0, (A(0) > 0.0), 1.0, (A(1) * exp_(A(0))))
}
SLOPE(elu, 1) {
    PASS_IF(1, (A(0) > 0.0), 0.0, expm1_(A(0)))
}
SLOPES(elu) {
    TAKES(elu, 1)
    TAKES(elu, 0)
}

/* minimum(a, b) = a if a < b else b if b <= a else nan */
VALUE(minimum) {
    GIVE(((A(0) < A(1)) ? A(0) : ((A(1) <= A(0)) ? A(1) : NAN)))
}
SLOPE(minimum, 0) {
    PASS(0, ((A(0) < A(1)) ? 1.0 : ((A(0) > A(1)) ? 0.0 : ((A(0) == A(1)) ? 0.5 : NAN))))
}
SLOPE(minimum, 1) {
    PASS(1, ((A(1) < A(0)) ? 1.0 : ((A(1) > A(0)) ? 0.0 : ((A(1) == A(0)) ? 0.5 : NAN))))
}
SLOPES(minimum) {
    TAKES(minimum, 1)
    TAKES(minimum, 0)
}

/* maximum(a, b) = a if a > b else b if b >= a else nan */
VALUE(maximum) {
    GIVE(((A(0) > A(1)) ? A(0) : ((A(1) >= A(0)) ? A(1) : NAN)))
}
SLOPE(maximum, 0) {
    PASS(0, ((A(0) > A(1)) ? 1.0 : ((A(0) < A(1)) ? 0.0 : ((A(0) == A(1)) ? 0.5 : NAN))))
}
SLOPE(maximum, 1) {
    PASS(1, ((A(1) > A(0)) ? 1.0 : ((A(1) < A(0)) ? 0.0 : ((A(1) == A(0)) ? 0.5 : NAN))))
}
SLOPES(maximum) {
    TAKES(maximum, 1)
    TAKES(maximum, 0)
}

/* clip(a, low, high) = nan if a != a or low != low or high != high else high if a >= high or low > high else low if a <= low else a */
VALUE(clip) {
    GIVE((((A(0) != A(0)) OR (A(1) != A(1)) OR (A(2) != A(2))) ? NAN : (((A(0) >= A(2)) OR (A(1) > A(2))) ? A(2) : ((A(0) <= A(1)) ? A(1) : A(0)))))
}
SLOPE(clip, 0) {
    PASS(0, ((Y != Y) ? NAN : (((A(1) < A(0)) AND (A(0) < A(2))) ? 1.0 : 0.0)))
}
SLOPE(clip, 1) {
    PASS(1, ((Y != Y) ? NAN : (((A(0) <= A(1)) AND (A(0) < A(2)) AND (A(1) <= A(2))) ? 1.0 : 0.0)))
}
SLOPE(clip, 2) {
    PASS(2, ((Y != Y) ? NAN : (((A(0) >= A(2)) OR (A(1) > A(2))) ? 1.0 : 0.0)))
}
SLOPES(clip) {
    TAKES(clip, 2)
    TAKES(clip, 1)
    TAKES(clip, 0)
}

/* select(c, a, b) = a if c > 0.0 else b if c <= 0.0 else nan */
VALUE(select) {
    GIVE(((A(0) > 0.0) ? A(1) : ((A(0) <= 0.0) ? A(2) : NAN)))
}
SLOPE(select, 0) {
    PASS(0, ((A(0) == A(0)) ? 0.0 : NAN))
}
SLOPE(select, 1) {
    PASS(1, ((A(0) > 0.0) ? 1.0 : ((A(0) <= 0.0) ? 0.0 : NAN)))
}
SLOPE(select, 2) {
    PASS(2, ((A(0) > 0.0) ? 0.0 : ((A(0) <= 0.0) ? 1.0 : NAN)))
}
SLOPES(select) {
    TAKES(select, 2)
    TAKES(select, 1)
    TAKES(select, 0)
}

/* sum(x…) = total(x) */
VALUE(sum) {
    TOTAL(0, E(0))
    GIVE(T(0))
}
SLOPE(sum, 0) {
    PASS_EACH(0, 1.0)
}
SLOPES(sum) {
    TAKES(sum, 0)
}

/* dot(w…, x…, b) = total(w * x) + b */
VALUE(dot) {
    TOTAL(0, (E(0) * E(len)))
    GIVE((T(0) + A(2 * len + 0)))
}
SLOPE(dot, 0) {
    PASS_EACH(0, E(len))
}
SLOPE(dot, 1) {
    PASS_EACH(len, E(0))
}
SLOPE(dot, 2) {
    PASS(2 * len + 0, 1.0)
}
SLOPES(dot) {
    TAKES(dot, 2)
    TAKES(dot, 1)
    TAKES(dot, 0)
}

/* max(x…) = largest(x) */
VALUE(max) {
    LARGEST(0, E(0))
    GIVE(T(0))
}
SLOPE(max, 0) {
    TOTAL(0, ((E(0) == Y) ? 1.0 : 0.0))
    PASS_EACH(0, ((Y != Y) ? NAN : div_(((E(0) == Y) ? 1.0 : 0.0), T(0))))
}
SLOPES(max) {
    TAKES(max, 0)
}

/* logsumexp(x…) = largest(x) + log1p(rest(1.0 if x == largest(x) and abs(x) == inf else exp(x - largest(x)))) */
VALUE(logsumexp) {
    LARGEST(0, E(0))
    REST(1, (((E(0) == T(0)) AND (abs_(E(0)) == INFINITY)) ? 1.0 : exp_((E(0) - T(0)))))
    GIVE((T(0) + log1p_(T(1))))
}
SLOPE(logsumexp, 0) {
    LARGEST(0, E(0))
    REST_AGAIN(1, (((E(0) == T(0)) AND (abs_(E(0)) == INFINITY)) ? 1.0 : exp_((E(0) - T(0)))))
    PASS_EACH(0, div_(KEPT, (1.0 + T(1))))
}
SLOPES(logsumexp) {
    TAKES(logsumexp, 0)
}

/* cross_entropy(x…, t…) = total(t) * log1p(rest(1.0 if x == largest(x) and abs(x) == inf else exp(x - largest(x)))) + total(0.0 if t == 0.0 and largest(x) - x == inf or x == largest(x) and abs(x) == inf else t * (largest(x) - x)) */
VALUE(cross_entropy) {
    TOTAL(0, E(len))
    LARGEST(1, E(0))
    REST(2, (((E(0) == T(1)) AND (abs_(E(0)) == INFINITY)) ? 1.0 : exp_((E(0) - T(1)))))
    TOTAL(3, ((((E(len) == 0.0) AND ((T(1) - E(0)) == INFINITY)) OR ((E(0) == T(1)) AND (abs_(E(0)) == INFINITY))) ? 0.0 : (E(len) * (T(1) - E(0)))))
    GIVE(((T(0) * log1p_(T(2))) + T(3)))
}
SLOPE(cross_entropy, 0) {
    TOTAL(0, E(len))
    LARGEST(1, E(0))
    REST_AGAIN(2, (((E(0) == T(1)) AND (abs_(E(0)) == INFINITY)) ? 1.0 : exp_((E(0) - T(1)))))
    PASS_EACH(0, div_((((T(0) * KEPT) - E(len)) - (E(len) * T(2))), (1.0 + T(2))))
}
SLOPE(cross_entropy, 1) {
    LARGEST(0, E(0))
    REST_AGAIN(1, (((E(0) == T(0)) AND (abs_(E(0)) == INFINITY)) ? 1.0 : exp_((E(0) - T(0)))))
    PASS_EACH(len, (log1p_(T(1)) + (((E(0) == T(0)) AND (abs_(E(0)) == INFINITY)) ? 0.0 : (T(0) - E(0)))))
}
SLOPES(cross_entropy) {
    TAKES(cross_entropy, 1)
    TAKES(cross_entropy, 0)
}

#endif
